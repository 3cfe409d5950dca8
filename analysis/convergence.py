"""How soon a run gets somewhere: steps, operations and seconds to a level of accuracy, with censoring.

A run has reached a level at the first evaluation from which on it stays there for `PATIENCE` evaluations: the mean
accuracy of these evaluations is at or above the level too, so that one lucky reading is not convergence. The time is
known to the distance between two evaluations, which every table says. A run that ends before is censored, not dropped:
it would have needed at least as long as it ran. A run that diverged never reaches anything, however long one waits.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats as distributions

from analysis import stats
from analysis.stats import LEVEL, Interval

PATIENCE = 3
CLOCKS = {"step": "gradient steps", "train_flops": "FLOP", "wall_seconds": "s"}
"""What time may be measured in, with its unit; columns of the ledger's curves."""


def reached(curves: pd.DataFrame, runs: pd.DataFrame, levels: pd.Series, *, patience: int = PATIENCE) -> pd.DataFrame:
    """When each run reached its level.

    Args:
        curves: evaluations with columns run_id, split, step, accuracy and those of `CLOCKS`.
        runs: rows of the ledger; failed ones are left out, they never began.
        levels: validation accuracy to be reached (fraction), indexed by run id.
        patience: evaluations that count together.

    Returns:
        One row per run: run_id, level, is_reached, `CLOCKS` (of the evaluation at which the level was reached; of the
        last evaluation where it was not; infinite steps where the run diverged before), resolution (steps since the
        evaluation before, null at the first). Runs without a level or without an evaluation are left out.
    """
    status = runs[runs["status"] != "failed"].set_index("run_id")["status"]
    known = levels.index.intersection(status.index)
    valid, which, run_ids = in_order(curves[(curves["split"] == "valid") & curves["run_id"].isin(known)])
    goal = levels[run_ids].to_numpy(dtype=float)
    stays = _stays(valid["accuracy"].to_numpy(dtype=float), which, goal[which], patience)
    ends = np.searchsorted(which, np.arange(len(run_ids)), side="right") - 1
    first = np.searchsorted(which, np.arange(len(run_ids)))
    at, found = ends.copy(), np.zeros(len(run_ids), dtype=bool)
    # From the last to the first, so that the first of each run remains.
    hits = np.flatnonzero(stays)[::-1]
    at[which[hits]], found[which[hits]] = hits, True
    never = ~found & (status[run_ids] == "diverged").to_numpy()
    clocks = {name: np.where(never, np.inf, valid[name].to_numpy(dtype=float)[at]) for name in CLOCKS}
    steps = valid["step"].to_numpy(dtype=float)
    resolution = np.where(at > first, steps[at] - steps[np.maximum(at - 1, 0)], np.nan)
    return pd.DataFrame({"run_id": run_ids, "level": goal, "is_reached": found, **clocks, "resolution": resolution})


def in_order(curves: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.intp], NDArray[np.object_]]:
    """Evaluations by run and step; which run each is of, as a number; the run ids behind the numbers, sorted."""
    which, run_ids = pd.factorize(curves["run_id"], sort=True)  # sorting two million texts takes ten times as long
    order = np.lexsort((curves["step"].to_numpy(), which))
    return curves.iloc[order], which[order], np.asarray(run_ids, dtype=object)


def _stays(
    accuracy: NDArray[np.float64], which: NDArray[np.intp], level: NDArray[np.float64], patience: int
) -> NDArray[np.bool_]:
    """Whether each evaluation, and the mean of the `patience` from it on (fewer at a run's end), is at the level."""
    total, number = np.zeros(len(accuracy)), np.zeros(len(accuracy))
    for ahead in range(min(patience, len(accuracy))):
        here = which[: len(which) - ahead] == which[ahead:]
        total[: len(here)] += np.where(here, accuracy[ahead:], 0.0)
        number[: len(here)] += here
    return (accuracy >= level) & (total >= level * number)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How long runs of one kind take to a level (Kaplan and Meier 1958).

    Attributes:
        curve: columns time, share (of runs that have not arrived after this time), low, high (its 95 % interval by
            Greenwood's variance on the log(-log) scale), num_at_risk, num_arrived.
        median: time after which half of the runs have arrived; None where that was not seen.
        median_low, median_high: its 95 % interval (Brookmeyer and Crowley 1982); None where an end was not seen.
        num_runs, num_arrived: behind the estimate.
    """

    curve: pd.DataFrame
    median: float | None
    median_low: float | None
    median_high: float | None
    num_runs: int
    num_arrived: int


def kaplan_meier(times: ArrayLike, is_reached: ArrayLike) -> Waiting:
    """The share of runs that have not arrived, over time.

    Args:
        times: [n] when each run arrived, or until when it was watched; infinite for one that never can.
        is_reached: [n] whether it arrived.

    Raises:
        ValueError: no run, or a time below zero.
    """
    when, arrived = np.asarray(times, dtype=float), np.asarray(is_reached, dtype=bool)
    if len(when) == 0 or not np.all(when >= 0):
        raise ValueError(f"waiting times must be at least one and not below 0, got {when.tolist()[:5]}")
    if not arrived.any():
        return _waiting(_START, when, arrived)
    # A run that never arrives is watched for longer than any other.
    watched = np.where(np.isfinite(when), when, when[np.isfinite(when)].max() + 1)
    sample = distributions.CensoredData(uncensored=watched[arrived], right=watched[~arrived])
    survival = distributions.ecdf(sample).sf
    with warnings.catch_warnings():
        # A share of 0 has no variance: its interval is null, which is what the warning is about.
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        interval = survival.confidence_interval(LEVEL, method="log-log")
    steps = pd.DataFrame(
        {
            "time": survival.quantiles,
            "share": survival.probabilities,
            "low": interval.low.probabilities,
            "high": interval.high.probabilities,
            "num_at_risk": [int((watched >= time).sum()) for time in survival.quantiles],
            "num_arrived": [int((arrived & (watched == time)).sum()) for time in survival.quantiles],
        }
    )
    return _waiting(pd.concat([_START, steps[steps["num_arrived"] > 0]], ignore_index=True), when, arrived)


_START = pd.DataFrame({"time": [0.0], "share": 1.0, "low": 1.0, "high": 1.0, "num_at_risk": None, "num_arrived": 0})


def _waiting(curve: pd.DataFrame, when: NDArray[np.float64], arrived: NDArray[np.bool_]) -> Waiting:
    curve = curve.assign(num_at_risk=[len(when), *curve["num_at_risk"].iloc[1:]])
    median, low, high = (_first_below_half(curve, column) for column in ("share", "low", "high"))
    return Waiting(
        curve=curve,
        median=median,
        median_low=low,
        median_high=high,
        num_runs=len(when),
        num_arrived=int(arrived.sum()),
    )


def _first_below_half(curve: pd.DataFrame, column: str) -> float | None:
    below = curve.loc[curve[column] <= 0.5, "time"]
    return float(below.iloc[0]) if len(below) else None


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """How many times sooner one kind of run arrives than another.

    Attributes:
        interval: of the ratio, time of the other over its own; above 1 is sooner. Its high end is None where the
            other's runs were censored, its low end where its own were.
        is_at_least: some of the other's runs did not arrive: the ratio is a lower bound.
        is_at_most: some of its own did not arrive: the ratio is an upper bound.
        num_pairs: seeds that both have.
    """

    interval: Interval
    is_at_least: bool
    is_at_most: bool
    num_pairs: int


def speed_up(own: pd.DataFrame, other: pd.DataFrame, *, clock: str, of: str) -> SpeedUp | None:
    """Geometric mean of the ratios of times, paired by seed, with a t interval over seeds on the log scale.

    Args:
        own, other: rows of `reached` with a column `seed`, one row per seed; with a column `body_seed` too there may
            be several, and the interval is the wider of that over seeds and that over body seeds.
        clock: a name of `CLOCKS`.
        of: what is compared, in words.

    Returns:
        None where no seed is in both, where both have runs that did not arrive, or where one diverged: no bound
        follows from those.
    """
    pairs = own.merge(other, on="seed", suffixes=("", "_other"))
    for name in ("body_seed", "body_seed_other"):
        if name not in pairs:
            pairs[name] = 0
    return speed_up_of_pairs(pairs, clock=clock, of=of)


def speed_up_of_pairs(pairs: pd.DataFrame, *, clock: str, of: str) -> SpeedUp | None:
    """`speed_up` of runs that are paired already.

    Args:
        pairs: seed, and body_seed, is_reached and the clock of one run, and the same with "_other" of the other run.
        clock: a name of `CLOCKS`.
        of: what is compared, in words.
    """
    lacks_own, lacks_other = not pairs["is_reached"].all(), not pairs["is_reached_other"].all()
    times = pairs[[clock, f"{clock}_other"]].to_numpy(dtype=float)
    if pairs.empty or (lacks_own and lacks_other) or not np.all(np.isfinite(times) & (times > 0)):
        return None
    logs = stats.crossed_interval(
        np.log(times[:, 1] / times[:, 0]),
        seeds=pairs["seed"].tolist(),
        body_seeds=list(zip(pairs["body_seed"], pairs["body_seed_other"], strict=True)),
        of=of,
    )
    low, high = (None if end is None else float(np.exp(end)) for end in (logs.low, logs.high))
    interval = Interval(
        of=of,
        estimate=float(np.exp(logs.estimate)),
        low=None if lacks_own else low,
        high=None if lacks_other else high,
        p_value=None if lacks_own or lacks_other else logs.p_value,
        method=f"{logs.method}, of the logarithm of the ratio",
        num_samples=logs.num_samples,
    )
    return SpeedUp(interval=interval, is_at_least=lacks_other, is_at_most=lacks_own, num_pairs=pairs["seed"].nunique())
