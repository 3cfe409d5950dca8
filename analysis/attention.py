"""Do runs look at the tokens that matter? The mass of their first layer's attention there, and the maps themselves.

Mass is the share of a token's attention that goes to the places that matter to it (the ledger's column `relevant`),
mean over the tokens that are read, over heads and over the fixed examples. It stands beside what attention that is the
same for every visible token would give, and what the same body gave before its first update (docs/metrics.md).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.load import CELL
from analysis.stats import Interval, crossed_interval

UNTRAINED, SELECTED = "untrained", "selected"
STATES = {UNTRAINED: "before training", SELECTED: "after"}
GROUP = (*CELL, "setting")
"""Columns that runs of one map share; they differ in their seeds."""
_ABOUT = ("protocol", "body", "size")
MASS = "mass_on_relevant"
_MEASURES = (MASS, UNTRAINED, "uniform", "best_head", "untrained_best_head")


def mass(attention: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Where each run looks.

    Args:
        attention: the ledger's attention.
        runs: rows of the ledger.

    Returns:
        One row per run that has attention: run_id, task, and as fractions mass_on_relevant (at the selected step),
        untrained (before the first update), uniform (the same attention to all visible tokens), best_head and
        untrained_best_head (mass of the head that has most, chosen in each state).
    """
    heads = [np.asarray(masses, dtype=float) for masses in attention["head_masses"]]
    pairs = zip(attention["weights"], attention["relevant"], strict=True)
    shares = [float(np.asarray(to, dtype=float)[places].sum()) for to, places in pairs]
    rows = attention[["run_id", "state", "uniform"]].assign(mass=shares, heads=heads)
    by_state = rows.groupby(["run_id", "state"]).agg(
        mass=("mass", "mean"), uniform=("uniform", "mean"), head=("heads", lambda own: np.mean(list(own), axis=0).max())
    )
    own = by_state.unstack("state")
    columns = {
        MASS: ("mass", SELECTED),
        UNTRAINED: ("mass", UNTRAINED),
        "uniform": ("uniform", SELECTED),
        "best_head": ("head", SELECTED),
        "untrained_best_head": ("head", UNTRAINED),
    }
    told = pd.DataFrame({name: own[column] for name, column in columns.items() if column in own}, index=own.index)
    told = told.reindex(columns=list(_MEASURES)).rename_axis("run_id").reset_index()
    return told.merge(runs[["run_id", "task"]], on="run_id")[["run_id", "task", *_MEASURES]]


def by_cell(measured: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per task, train set, init and setting.

    Args:
        measured: rows of `mass`; one that lacks a state is left out.
        runs: rows of the ledger, each with its `setting`.

    Returns:
        `GROUP`, protocol, body, size, mass_on_relevant, low, high (mean over runs with its 95 % t interval, null for
        one seed), untrained, uniform, gain, gain_low, gain_high (mass minus untrained, paired by run), best_head,
        untrained_best_head, num_runs, num_seeds.
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
