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
STATES = {UNTRAINED: "before training", SELECTED: "at the selected step"}
GROUP = (*CELL, "setting")
"""Columns that runs of one map share; they differ in their seeds."""
_MEASURES = ("mass", "untrained", "uniform", "best_head", "untrained_best_head")


def masses(attention: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Where each run looks.

    Args:
        attention: the ledger's attention.
        runs: rows of the ledger.

    Returns:
        One row per run that has attention: all columns of runs, and as fractions mass (at the selected step),
        untrained (before the first update), uniform (the same attention to all visible tokens), best_head and
        untrained_best_head (mass of the head that has most, chosen in each state).
    """
    heads = [np.asarray(masses, dtype=float) for masses in attention["head_masses"]]
    mass = [float(np.asarray(to, dtype=float)[places].sum()) for to, places in _pairs(attention)]
    rows = attention[["run_id", "state", "uniform"]].assign(mass=mass, heads=heads)
    by_state = rows.groupby(["run_id", "state"]).agg(
        mass=("mass", "mean"), uniform=("uniform", "mean"), head=("heads", lambda own: np.mean(list(own), axis=0).max())
    )
    own = by_state.unstack("state")
    columns = {
        "mass": ("mass", SELECTED),
        "untrained": ("mass", UNTRAINED),
        "uniform": ("uniform", SELECTED),
        "best_head": ("head", SELECTED),
        "untrained_best_head": ("head", UNTRAINED),
    }
    told = pd.DataFrame({name: own[column] for name, column in columns.items() if column in own}, index=own.index)
    return runs.merge(told.reindex(columns=list(_MEASURES)), left_on="run_id", right_index=True).reset_index(drop=True)


def _pairs(attention: pd.DataFrame) -> zip:
    return zip(attention["weights"], attention["relevant"], strict=True)


def gain(measured: pd.DataFrame, over: str) -> Interval:
    """Mean over runs of how much more mass there is than before training, or than even attention gives.

    Args:
        measured: rows of `masses`, at least one.
        over: "untrained" or "uniform".
    """
    return crossed_interval(
        measured["mass"] - measured[over],
        seeds=measured["seed"].tolist(),
        body_seeds=measured["body_seed"].tolist(),
        of=f"attention to the tokens that matter, minus {over}",
    )


def by_cell(measured: pd.DataFrame) -> pd.DataFrame:
    """One row per task, train set, init and setting.

    Args:
        measured: rows of `masses`; one that lacks a state is left out.

    Returns:
        `GROUP`, protocol, size, mass, low, high (mean over runs with its 95 % t interval, null for one seed),
        untrained, uniform, gain, gain_low, gain_high (mass minus untrained, paired by run), best_head,
        untrained_best_head, num_runs, num_seeds.
    """
    rows = []
    for key, group in measured.dropna(subset=["mass", UNTRAINED]).groupby(list(GROUP), sort=False):
        mass, above = _mean(group, "mass"), gain(group, UNTRAINED)
        rows.append(
            dict(zip(GROUP, key, strict=True))
            | {"protocol": group["protocol"].iloc[0], "size": group["size"].iloc[0]}
            | {"mass": mass.estimate, "low": mass.low, "high": mass.high}
            | {"gain": above.estimate, "gain_low": above.low, "gain_high": above.high}
            | {name: group[name].mean() for name in _MEASURES if name != "mass"}
            | {"num_runs": len(group), "num_seeds": group["seed"].nunique()}
        )
    numbers = ["mass", "low", "high", "untrained", "uniform", "gain", "gain_low", "gain_high"]
    names = [*GROUP, "protocol", "size", *numbers, "best_head", "untrained_best_head", "num_runs", "num_seeds"]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(numbers, float))


def _mean(measured: pd.DataFrame, column: str) -> Interval:
    return crossed_interval(
        measured[column],
        seeds=measured["seed"].tolist(),
        body_seeds=measured["body_seed"].tolist(),
        of=f"mean {column}",
    )


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
