"""What the runs of one cell say: a number with its interval, for every metric of the papers' tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from analysis import epochs, load, speed, speed_ups
from analysis.stats import Interval, crossed_interval
from study.grids.cells import Metric

Record = dict[str, Any]
"""One row of the ledger: the columns `COLUMNS`."""
COLUMNS = (
    *("run_id", "status", "init", "lr", "seed", "body_seed", "valid_accuracy", "test_accuracy", "train_accuracy"),
    *("chance_accuracy", "floor_accuracy", "num_params_total", "num_params_trained"),
)
COUNTED = (Metric.NUM_PARAMS_TOTAL, Metric.NUM_PARAMS_TRAINED)
"""Metrics that are counted, not estimated."""
NEED_CURVES = (Metric.STEPS_TO_CONVERGENCE, Metric.SPEEDUP, Metric.EPOCH_SPEEDUP)
"""Metrics that are read from the evaluations of a run, not from its end."""
_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("estimate", "low", "high", "lr", "before_divergence", "chance", "floor"), math.nan),
    **dict.fromkeys(("method", "bound"), ""),
}


@dataclass(frozen=True)
class Found:
    """Rows of one cell.

    Attributes:
        metric: what is asked of them.
        runs: rows of the ledger, whatever their status.
        against: those that a ratio compares with.
        frames: a ledger with all evaluations of these runs, for `NEED_CURVES`.
    """

    metric: Metric
    runs: Sequence[Record]
    against: Sequence[Record]
    frames: load.Frames

    @property
    def done(self) -> list[Record]:
        """The runs that ended as asked."""
        return _done(self.runs)

    def evaluations(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows of both sides as frames: runs and their curves."""
        ids = {row["run_id"] for row in (*self.runs, *self.against)}
        runs, curves = self.frames.runs, self.frames.curves
        return runs[runs["run_id"].isin(ids)], curves[curves["run_id"].isin(ids)]


def _done(rows: Sequence[Record]) -> list[Record]:
    return [row for row in rows if row["status"] == "done"]


def _known(rows: Sequence[Record], name: str) -> list[float]:
    """Values of a column, nulls left out."""
    return [float(row[name]) for row in rows if not pd.isna(row[name])]


def _accuracy(found: Found) -> dict[str, Any]:
    """Mean accuracy over seeds, in percent, at the step selected on the validation split."""
    return _levels(found) | _mean(found.done, found.metric)


def _tuned(found: Found) -> dict[str, Any]:
    """The same at one of several learning rates: that of the best mean validation accuracy.

    A rate at which a run diverged or failed is not eligible: the mean of the others would flatter it.
    """
    by_rate: dict[float, list[Record]] = {}
    for row in found.runs:
        by_rate.setdefault(row["lr"], []).append(row)
    eligible = {lr: rows for lr, rows in by_rate.items() if len(_done(rows)) == len(rows)}
    if not eligible:
        return _levels(found)
    best = max(eligible, key=lambda lr: fmean(row["valid_accuracy"] for row in eligible[lr]))
    return _levels(found) | _mean(eligible[best], Metric.TEST_ACCURACY) | {"lr": best}


def _mean(done: Sequence[Record], metric: Metric) -> dict[str, Any]:
    known = [row for row in done if not pd.isna(row[metric])]
    if not known:
        return {}
    seeds, bodies = ([row[name] for row in known] for name in ("seed", "body_seed"))
    values = [100 * row[metric] for row in known]
    return _shown(crossed_interval(values, seeds=seeds, body_seeds=bodies, of=f"mean {metric}"))


def _levels(found: Found) -> dict[str, Any]:
    """Chance and the best trivial predictor, and what diverged runs had reached, in percent."""
    diverged = [row for row in found.runs if row["status"] == "diverged"]
    values = {
        "chance": _known(found.runs, "chance_accuracy"),
        "floor": _known(found.runs, "floor_accuracy"),
        "before_divergence": _known(diverged, "test_accuracy"),
    }
    return _EMPTY | {name: 100 * fmean(some) for name, some in values.items() if some}


def _shown(interval: Interval) -> dict[str, Any]:
    low, high = (math.nan if end is None else end for end in (interval.low, interval.high))
    return {"estimate": interval.estimate, "low": low, "high": high, "method": interval.method}


_LOGARITHMS = "t over seeds or bodies, of logarithms"


def _steps(found: Found) -> dict[str, Any]:
    """Gradient steps to convergence (`analysis.speed`): geometric mean, or a lower bound where a run did not arrive."""
    times = speed.by_variant(speed.convergence(*found.evaluations())) if found.runs else pd.DataFrame()
    if times.empty:
        return _EMPTY
    row = times.iloc[0]
    if pd.isna(row["estimate"]):
        return _EMPTY | {"estimate": row["at_least"], "bound": "" if pd.isna(row["at_least"]) else "≥"}
    return _EMPTY | {name: row[name] for name in ("estimate", "low", "high")} | {"method": _LOGARITHMS}


def _speedup(found: Found) -> dict[str, Any]:
    """Ratio of steps to convergence, the other's over its own, paired by seed."""
    if not found.runs or not found.against:
        return _EMPTY
    inits = {"own": found.runs[0]["init"], "other": found.against[0]["init"]}
    ratios = speed_ups.speed_ups(*found.evaluations(), **inits)
    if ratios.empty or pd.isna(ratios["ratio"].iloc[0]):
        return _EMPTY
    row = ratios.iloc[0]
    bound = "≥" if row["is_at_least"] else "≤" if row["is_at_most"] else ""
    shown = {"estimate": row["ratio"], "low": row["low"], "high": row["high"], "method": _LOGARITHMS}
    return _EMPTY | shown | {"bound": bound}


def _epoch_speedup(found: Found) -> dict[str, Any]:
    """Training examples per second, own over the other's (`analysis.epochs`): a first pass and evaluations left out."""
    ratios = epochs.cached_speed_ups(*found.evaluations())
    if ratios.empty:
        return _EMPTY
    row = ratios.loc[ratios["num_seeds"].idxmax()]
    return _EMPTY | {"estimate": row["ratio"], "low": row["low"], "high": row["high"], "method": _LOGARITHMS}


def _counted(found: Found) -> dict[str, Any]:
    counts = set(_known(found.runs, found.metric))
    return _EMPTY | ({"estimate": counts.pop(), "method": "counted"} if len(counts) == 1 else {})


ESTIMATES: dict[Metric, Callable[[Found], dict[str, Any]]] = {
    Metric.TEST_ACCURACY: _accuracy,
    Metric.TRAIN_ACCURACY: _accuracy,
    Metric.TUNED_TEST_ACCURACY: _tuned,
    Metric.STEPS_TO_CONVERGENCE: _steps,
    Metric.SPEEDUP: _speedup,
    Metric.EPOCH_SPEEDUP: _epoch_speedup,
    Metric.NUM_PARAMS_TOTAL: _counted,
    Metric.NUM_PARAMS_TRAINED: _counted,
}
"""Metrics that stand in a table; attention is drawn elsewhere."""
