"""How many times sooner runs from one initialisation converge than runs from another (paper table 6, last row)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from analysis.convergence import CLOCKS, speed_up_of_pairs
from analysis.speed import DIVERGED, FEW, LEARNED, SHARE, VARIANT, convergence, plateaus, time_to

To = Literal["own plateau", "same accuracy"]
"""What both must reach. "own plateau": each run 95 % of what it learned itself, as the paper's table can be read; one
may end far above the other. "same accuracy": all runs 95 % of what the worse of the two learns on average."""

ALIKE = tuple(name for name in VARIANT if name != "init")
"""Everything in which two runs that differ in their inits agree."""


def speed_ups(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    own: str = "language",
    other: str = "random",
    to: To = "own plateau",
    clock: str = "step",
    by: Sequence[str] = ALIKE,
) -> pd.DataFrame:
    """Ratios of times, paired by seed: above 1 where runs from `own` are sooner.

    Args:
        runs, curves: of the ledger.
        own, other: inits.
        to: what must be reached, see `To`.
        clock: a name of `CLOCKS`.
        by: columns in which the two sides agree; with tuned learning rates, all of `ALIKE` but those that were tuned.

    Returns:
        One row for every set of runs that agree in these columns: they, own, other, to, clock, ratio, low, high (95 %
        t interval over seeds on the log scale, null where there is none), is_at_least, is_at_most (the ratio is a
        bound: runs of `other`, of `own`, did not arrive), num_seeds. Ratio is null and num_seeds 0 where no bound
        follows (both censored, one diverged, nothing learned, no common seed).
    """
    pair = runs[runs["init"].isin([own, other]) & (runs["status"] != "failed")]
    key = list(by)
    sides = pair.groupby(key, dropna=False)["init"].transform("nunique")
    pair = pair[sides == 2]
    pair = pair.assign(set=pair.groupby(key, dropna=False, sort=False).ngroup())
    if to == "own plateau":
        times = convergence(pair, curves)
    else:
        times = time_to(pair, curves, _lower_levels(pair, plateaus(pair, curves)))
    times = times[times[clock].notna()].merge(pair[["run_id", "set"]], on="run_id")
    times = times[["set", "seed", "body_seed", "is_reached", clock, "init"]]
    both = times[times["init"] == own].merge(times[times["init"] == other], on=["set", "seed"], suffixes=("", "_other"))
    sets = dict(iter(both.groupby("set")))
    rows = [
        row | {"own": own, "other": other, "to": to, "clock": clock} | _ratio(sets.get(number), clock)
        for number, row in enumerate(pair.drop_duplicates("set")[key].to_dict("records"))
    ]
    return pd.DataFrame(rows, columns=[*key, "own", "other", "to", "clock", *_NUMBERS])


_NUMBERS = ("ratio", "low", "high", "is_at_least", "is_at_most", "num_seeds")


def _ratio(pairs: pd.DataFrame | None, clock: str) -> dict[str, object]:
    found = None if pairs is None else speed_up_of_pairs(pairs, clock=clock, of=f"{CLOCKS[clock]}, other over own")
    if found is None:
        return dict(zip(_NUMBERS, (np.nan, np.nan, np.nan, False, False, 0), strict=True))
    low, high = (np.nan if end is None else end for end in (found.interval.low, found.interval.high))
    values = (found.interval.estimate, low, high, found.is_at_least, found.is_at_most, found.num_pairs)
    return dict(zip(_NUMBERS, values, strict=True))


def _lower_levels(runs: pd.DataFrame, ends: pd.DataFrame) -> pd.Series:
    """By run id: chance + 95 % of what the init with the lower mean plateau learned; without runs of no such level."""
    rows = runs.merge(ends[["plateau", "standing"]], left_on="run_id", right_index=True)
    told = rows[~rows["standing"].isin([FEW, DIVERGED])]
    lower = told.groupby(["set", "init"])["plateau"].mean().groupby(level="set").agg(["min", "size"]).reset_index()
    rows = rows.merge(lower[lower["size"] == 2], on="set")
    learned = rows["min"] - rows["chance_accuracy"]
    levels = (rows["chance_accuracy"] + SHARE * learned).where(learned >= LEARNED)
    return pd.Series(levels.to_numpy(), index=rows["run_id"]).dropna()
