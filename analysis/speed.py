"""Steps to convergence (paper table 6), and steps, operations and seconds to a given accuracy.

The paper states no definition of convergence (docs/metrics.md has ours). A run has converged at the first evaluation
from which on its validation accuracy stays within 95 % of what it learned in all: level = chance + 0.95 * (plateau -
chance), where the plateau is the mean of its last fifth of evaluations, and "stays" is that of `analysis.convergence`.
A run that gets there only in that last fifth is still rising, for all one can tell, and censored there: with a higher
plateau it would be later. One that has learned nothing yet is censored at its end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.convergence import CLOCKS, PATIENCE, in_order, reached
from analysis.stats import Interval, crossed_interval
from study.spec import RunSpec

SHARE = 0.95
"""Share of what a run learns at which it counts as converged."""
PLATEAU = 0.2
"""Share of a run's evaluations, at its end, whose mean is its plateau; at least `PATIENCE` of them."""
LEARNED = 0.02
"""Accuracy above chance (fraction) from which a run has learned anything."""
CONVERGED, RISING, NOTHING, FEW, DIVERGED = "converged", "rising", "nothing learned", "too few evaluations", "diverged"
STANDINGS = {
    CONVERGED: "reached 95 % of its plateau and stayed",
    RISING: "reached 95 % of its plateau only in its last fifth, or not to stay: not before that",
    NOTHING: f"ends less than {100 * LEARNED:g} points above chance: needs longer than it ran",
    FEW: f"fewer than {2 * PATIENCE} evaluations: convergence cannot be told",
    DIVERGED: "diverged before: never",
}
REPLICATION = ("seed", "body_seed")
VARIANT: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(RunSpec) if field.name not in REPLICATION)
"""Columns that runs of one variant share; they differ in their seeds only."""


def plateaus(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Where each run ends up.

    Args:
        runs: rows of the ledger; failed ones are left out.
        curves: evaluations.

    Returns:
        Indexed by run id: num_evaluations, plateau (mean validation accuracy of the last fifth of the evaluations,
        fraction), since (step of the first of these), level (see the top of this file), standing (a key of
        `STANDINGS`; CONVERGED means no more than that there is a plateau).
    """
    known = runs[runs["status"] != "failed"].set_index("run_id")
    valid, which, run_ids = in_order(curves[(curves["split"] == "valid") & curves["run_id"].isin(known.index)])
    number = np.bincount(which, minlength=len(run_ids))
    behind = np.cumsum(number)[which] - 1 - np.arange(len(which))
    window = np.maximum(PATIENCE, np.ceil(PLATEAU * number))[which]
    accuracy = pd.Series(valid["accuracy"].to_numpy(dtype=float), index=pd.Index(run_ids[which], name="run_id"))
    steps = pd.Series(valid["step"].to_numpy(dtype=float), index=accuracy.index)
    last = behind < window
    told = {"plateau": accuracy[last].groupby(level=0).mean(), "since": steps[last].groupby(level=0).min()}
    ends = pd.DataFrame({"num_evaluations": number, **told}, index=pd.Index(run_ids, name="run_id"))
    chance = known["chance_accuracy"].reindex(ends.index)
    learned = ends["plateau"] - chance
    ends["level"] = chance + SHARE * learned
    standing = np.select(
        [
            known["status"].reindex(ends.index) == "diverged",
            (ends["num_evaluations"] < 2 * PATIENCE) | learned.isna(),
            learned < LEARNED,
        ],
        [DIVERGED, FEW, NOTHING],
        CONVERGED,
    )
    return ends.assign(standing=standing)


def convergence(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """When each run converged to its own plateau.

    Args:
        runs, curves: of the ledger.

    Returns:
        One row per run that was evaluated and did not fail: run_id, seed, body_seed, `VARIANT`, standing (a key of
        `STANDINGS`), plateau, level, is_reached, `CLOCKS` (when it converged, or not before when; infinite where it
        diverged, null where it has too few evaluations), resolution (steps between the evaluation
        at which it had converged and the one before).
    """
    ends = plateaus(runs, curves)
    times = reached(curves, runs, ends["level"].where(ends["standing"] != FEW).dropna())
    rows = ends.drop(columns="level").join(times.set_index("run_id")).rename_axis("run_id").reset_index()
    is_late = ~rows["is_reached"].eq(True) | (rows["step"] >= rows["since"])
    rows["standing"] = rows["standing"].mask((rows["standing"] == CONVERGED) & is_late, RISING)
    rows["is_reached"] = rows["standing"] == CONVERGED
    last = curves[curves["split"] == "valid"].groupby("run_id")[list(CLOCKS)].max()
    for clock in CLOCKS:
        # Chance passes a level that is chance at any time.
        rows[clock] = rows[clock].mask(rows["standing"] == NOTHING, rows["run_id"].map(last[clock]))
        rows.loc[rows["standing"] == DIVERGED, clock] = np.inf
    return rows.merge(runs[["run_id", *REPLICATION, *VARIANT]], on="run_id")


def time_to(runs: pd.DataFrame, curves: pd.DataFrame, accuracy: float | pd.Series) -> pd.DataFrame:
    """Steps, FLOPs and seconds of every run to a given validation accuracy (fraction).

    Args:
        runs, curves: of the ledger.
        accuracy: for all runs, or one each, indexed by run id.

    Returns:
        As `convergence`, without plateau and standing.
    """
    levels = accuracy if isinstance(accuracy, pd.Series) else pd.Series(accuracy, index=runs["run_id"])
    times = reached(curves, runs, levels)
    return times.merge(runs[["run_id", *REPLICATION, *VARIANT]], on="run_id")


def typical(times: pd.DataFrame, clock: str = "step") -> Interval | None:
    """Geometric mean time of runs of one variant, with the wider t interval of seeds and body seeds on the log scale.

    Args:
        times: rows of `convergence` or `time_to` of one variant.
        clock: a name of `CLOCKS`.

    Returns:
        None where any of the runs has not arrived (the mean would be of the quick ones), or arrived at time 0.
    """
    values = times[clock].to_numpy(dtype=float)
    if len(values) == 0 or not times["is_reached"].all() or not np.all(values > 0):
        return None
    of = f"geometric mean of {CLOCKS[clock]} to the level"
    logs = crossed_interval(np.log(values), seeds=times["seed"].tolist(), body_seeds=times["body_seed"].tolist(), of=of)
    low, high = (None if end is None else float(np.exp(end)) for end in (logs.low, logs.high))
    return dataclasses.replace(logs, estimate=float(np.exp(logs.estimate)), low=low, high=high, p_value=None)


def by_variant(times: pd.DataFrame, clock: str = "step", by: Sequence[str] = VARIANT) -> pd.DataFrame:
    """One row per variant.

    Args:
        times: rows of `convergence` or `time_to`.
        clock: a name of `CLOCKS`.
        by: columns that runs of one variant share.

    Returns:
        Those columns, num_runs, num_reached, num_diverged, estimate, low, high (of `typical`; null where a run did not
        arrive), at_least (geometric mean of the times until which runs were watched or arrived: a lower bound where
        some did not arrive; null where all did), resolution (largest distance of evaluations), clock.
    """
    known = times[times[clock].notna()]
    number = known.groupby(list(by), dropna=False, sort=False).ngroup().to_numpy()
    firsts = known[list(by)].iloc[np.unique(number, return_index=True)[1]].to_dict("records")
    slim = known[[clock, "is_reached", *REPLICATION, "resolution"]]
    members = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1]) if len(known) else []
    rows = [first | _summary(slim.iloc[own], clock) for first, own in zip(firsts, members, strict=True)]
    return pd.DataFrame(rows, columns=[*by, *_SUMMARY])


_SUMMARY = ("num_runs", "num_reached", "num_diverged", "estimate", "low", "high", "at_least", "resolution", "clock")


def _summary(times: pd.DataFrame, clock: str) -> dict[str, object]:
    interval = typical(times, clock)
    values, is_reached = times[clock].to_numpy(dtype=float), times["is_reached"].to_numpy(dtype=bool)
    finite = values[np.isfinite(values) & (values > 0)]
    is_bound = not is_reached.all() and len(finite) > 0
    ends = (np.nan, np.nan, np.nan) if interval is None else (interval.estimate, interval.low, interval.high)
    estimate, low, high = (np.nan if end is None else end for end in ends)
    at_least = float(np.exp(np.log(finite).mean())) if is_bound else np.nan
    counts = (len(times), int(is_reached.sum()), int(np.isinf(values).sum()))
    told = (*counts, estimate, low, high, at_least, times["resolution"].max(), clock)
    return dict(zip(_SUMMARY, told, strict=True))
