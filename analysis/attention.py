"""Do runs look at the tokens that matter? The mass of their first layer's attention there, and the maps themselves.

Mass is the share of a token's attention that goes to the places that matter to it (the ledger's column `relevant`),
mean over the tokens that are read, over heads and over the fixed examples. It stands beside what attention that is the
same for every visible token would give, and what the same body gave before its first update (docs/metrics.md).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import CELL
from analysis.stats import Interval, crossed_interval

UNTRAINED, SELECTED = "untrained", "selected"
STATES = {UNTRAINED: "before training", SELECTED: "after"}
GROUP = (*CELL, "setting")
"""Columns that runs of one map share; they differ in their seeds."""
_ABOUT = ("protocol", "body", "size")
MASS = "mass_on_relevant"
_STORED = ("among_stored", "untrained_among_stored", "uniform_among_stored")
_MEASURES = (MASS, UNTRAINED, "uniform", "best_head", "untrained_best_head", *_STORED)


def mass(attention: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Where each run looks.

    Args:
        attention: the ledger's attention.
        runs: rows of the ledger.

    Returns:
        One row per run that has attention: run_id, task, and as fractions mass_on_relevant (at the selected step),
        untrained (before the first update), uniform (the same attention to all visible tokens), best_head and
        untrained_best_head (mass of the head that has most, chosen in each state), and among_stored,
        untrained_among_stored, uniform_among_stored: the same shares of the attention to the tokens before the first
        one that is read. Of those a causal body sees as many from every query, and what a token gives to itself, which
        may well know part of the answer, does not count.
    """
    heads = [np.asarray(masses, dtype=float) for masses in attention["head_masses"]]
    num_stored = attention.groupby(["run_id", "state"])["query"].transform("min")
    shares = [_shares(*row) for row in zip(attention["weights"], attention["relevant"], num_stored, strict=True)]
    rows = attention[["run_id", "state", "uniform"]].assign(heads=heads)
    rows[["mass", "stored", "uniform_stored"]] = np.array(shares, dtype=float).reshape(-1, 3)
    means = {name: (name, "mean") for name in ("mass", "uniform", "stored", "uniform_stored")}
    by_state = rows.groupby(["run_id", "state"]).agg(
        **means, head=("heads", lambda own: np.mean(list(own), axis=0).max())
    )
    own = by_state.unstack("state")
    columns = {
        MASS: ("mass", SELECTED),
        UNTRAINED: ("mass", UNTRAINED),
        "uniform": ("uniform", SELECTED),
        "best_head": ("head", SELECTED),
        "untrained_best_head": ("head", UNTRAINED),
        "among_stored": ("stored", SELECTED),
        "untrained_among_stored": ("stored", UNTRAINED),
        "uniform_among_stored": ("uniform_stored", SELECTED),
    }
    told = pd.DataFrame({name: own[column] for name, column in columns.items() if column in own}, index=own.index)
    told = told.reindex(columns=list(_MEASURES)).rename_axis("run_id").reset_index()
    return told.merge(runs[["run_id", "task"]], on="run_id")[["run_id", "task", *_MEASURES]]


def _shares(weights: NDArray[np.float32], relevant: NDArray[np.int32], num_stored: int) -> tuple[float, float, float]:
    """Mass on the relevant places, its part of the mass on the first `num_stored` places, and that if it were even."""
    to, matter = weights.astype(float), relevant[relevant < num_stored]
    stored = to[:num_stored].sum()
    if not stored > 0:
        return float(to[relevant].sum()), np.nan, np.nan
    return float(to[relevant].sum()), float(to[matter].sum() / stored), len(matter) / num_stored


def by_cell(measured: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per task, train set, init and setting.

    Args:
        measured: rows of `mass`; one that lacks a state is left out.
        runs: rows of the ledger, each with its `setting`.

    Returns:
        `GROUP`, protocol, body, size, mass_on_relevant, low, high (mean over runs with its 95 % t interval, null for
        one seed), the other columns of `mass` (means over runs), gain, gain_low, gain_high (mass minus untrained,
        paired by run), num_runs, num_seeds.
    """
    names = ["run_id", "seed", "body_seed", *_ABOUT, *GROUP]
    known = measured.dropna(subset=[MASS, UNTRAINED]).drop(columns="task").merge(runs[names], on="run_id")
    rows = []
    for key, group in known.groupby(list(GROUP), sort=False):
        here, above = _interval(group, group[MASS]), _interval(group, group[MASS] - group[UNTRAINED])
        rows.append(
            dict(zip(GROUP, key, strict=True))
            | {name: group[name].iloc[0] for name in _ABOUT}
            | {name: group[name].mean() for name in _MEASURES}
            | {"low": here.low, "high": here.high}
            | {"gain": above.estimate, "gain_low": above.low, "gain_high": above.high}
            | {"num_runs": len(group), "num_seeds": group["seed"].nunique()}
        )
    numbers = [*_MEASURES, "low", "high", "gain", "gain_low", "gain_high"]
    columns = [*GROUP, *_ABOUT, *numbers, "num_runs", "num_seeds"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))


def _interval(runs: pd.DataFrame, values: pd.Series) -> Interval:
    """Mean over runs of one cell."""
    seeds, body_seeds = runs["seed"].tolist(), runs["body_seed"].tolist()
    return crossed_interval(values, seeds=seeds, body_seeds=body_seeds, of="attention to the tokens that matter")


def maps(attention: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Mean attention of the runs of each cell, place by place.

    Args:
        attention: the ledger's attention.
        runs: done runs, each with its `setting`.

    Returns:
        `GROUP`, state, query (position of the token that attends), place, weight (fraction, mean over runs),
        is_relevant, num_runs.
    """
    known = attention.merge(runs[["run_id", *GROUP]], on="run_id")
    parts = []
    for key, group in known.groupby([*GROUP, "state", "query"], sort=False):
        weights = np.mean([np.asarray(to, dtype=float) for to in group["weights"]], axis=0)
        is_relevant = np.zeros(len(weights), dtype=bool)
        is_relevant[group["relevant"].iloc[0]] = True
        own = {"place": np.arange(len(weights)), "weight": weights, "is_relevant": is_relevant, "num_runs": len(group)}
        parts.append(pd.DataFrame(dict(zip([*GROUP, "state", "query"], key, strict=True)) | own))
    names = [*GROUP, "state", "query", "place", "weight", "is_relevant", "num_runs"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)
