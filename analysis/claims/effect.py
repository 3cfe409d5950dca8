"""One number per pair of runs, whether the sides can be told apart at all, and what the numbers say of the bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from analysis import stats
from analysis.claims.claim import MATCH_MARGIN, Bounds, Verdict
from analysis.claims.pairing import Columns, Pairs

CLEAR = 0.02
"""Accuracy (fraction) above the floor from which a side is clearly above it, if its 95 % interval says so too."""
CEILING = 0.99
"""Mean accuracy from which on two sides are both as good as they can be seen to be."""
LEAST_SPREAD = 0.002
"""Least standard deviation between seeds that a difference of accuracies is credited with: two accuracies of 99.8 % on
1,000 test examples differ by sqrt(2 * 0.998 * 0.002 / 1000) by the draw of the examples alone."""
AT_FLOOR, AT_CEILING = "no side is clearly above the floor", "both sides are at the ceiling"
NO_FLOOR = "the floor is not known"
NO_PAIR, ONE_PAIR = "no pair of runs", "one pair: no interval"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What was measured on one line of a claim.

    Attributes:
        task, line, setting, num_unpaired, num_other: as in `Pairs`.
        values: one per pair, in the scale of the claim's bounds.
        seeds, bodies: of each pair.
        least_spread: standard deviation that values are credited with even where they agree more closely.
        a, b: mean of each side, in the unit of the ledger; None where the effect has no such sides.
        floor: accuracy of the best trivial predictor; None where it is not known.
        cannot: why the sides cannot be told apart on this line; "" where they can. Such a line counts for neither side.
        may_support, may_contradict: whether the line may count for the claim, and against it.
        num_diverged: runs that diverged, of both sides.
    """

    task: str
    line: str
    setting: str
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    bodies: tuple[object, ...]
    least_spread: float = LEAST_SPREAD
    a: float | None
    b: float | None
    floor: float | None
    cannot: str = ""
    may_support: bool = True
    may_contradict: bool = True
    num_diverged: int
    num_unpaired: int
    num_other: int


@dataclass(frozen=True, kw_only=True)
class Tested:
    """An effect held against the bounds.

    Attributes:
        effect: the effect.
        estimate, low, high: mean over pairs and its 95 % interval; None where there is no pair, one pair.
        method: of the interval.
        num_units: seeds, or body seeds, behind it.
        spread: standard deviation of one unit.
        p_support: one-sided p of "the effect does not lie between the bounds"; 1 where it cannot or may not be tested.
        p_contradict: one-sided p of "it does".
        verdict: of this line by itself: whether its 95 % interval lies wholly between the bounds, or wholly outside.
    """

    effect: Effect
    estimate: float | None
    low: float | None
    high: float | None
    method: str
    num_units: int
    spread: float | None
    p_support: float
    p_contradict: float
    verdict: Verdict

    @property
    def is_told(self) -> bool:
        """Whether the line counts: the sides can be told apart on it and it has an interval."""
        return not self.effect.cannot


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Which sides must be clearly above the floor before a line counts; at least one must in any case.

    Attributes:
        margin: accuracy (fraction) above the floor that is asked for.
        needs_both: for a line to support the claim, both sides must be above the floor, not side a alone.
        minds_ceiling: a line on which both sides are at the ceiling cannot tell them apart.
    """

    margin: float = CLEAR
    needs_both: bool = False
    minds_ceiling: bool = True


IS_BETTER = Gate()
IS_ALIKE = Gate(margin=MATCH_MARGIN, needs_both=True, minds_ceiling=False)
"""What may be worse by a margin must stand above the floor by more than that, or the floor would be good enough."""
IS_NOT_WORSE = Gate(margin=MATCH_MARGIN, minds_ceiling=False)
HAS_LEARNED = Gate(minds_ceiling=False)
"""For effects that are no differences of accuracy."""


def difference(
    pairs: Pairs, gate: Gate = IS_BETTER, of: Callable[[Pairs], NDArray[np.float64]] | None = None
) -> Effect:
    """The difference of test accuracy, side a minus side b, of every pair.

    Args:
        pairs: at one place.
        gate: what the sides must have learned.
        of: another number of each pair than the difference of accuracies.
    """
    a, b = pairs.a["accuracy"], pairs.b["accuracy"]
    floors = np.concatenate([pairs.a["floor"], pairs.b["floor"]])
    floor = float(np.max(floors, initial=-np.inf)) if len(floors) and not np.isnan(floors).any() else None
    cannot, may_support = _told(pairs, floor, gate)
    return Effect(
        task=pairs.task,
        line=pairs.line,
        setting=pairs.setting,
        values=tuple((a - b if of is None else of(pairs)).tolist()),
        seeds=tuple(pairs.seeds.tolist()),
        bodies=tuple(pairs.bodies.tolist()),
        a=float(a.mean()) if len(a) else None,
        b=float(b.mean()) if len(b) else None,
        floor=floor,
        cannot=cannot,
        may_support=may_support,
        num_diverged=sum(int(once(side)["has_diverged"].sum()) for side in (pairs.a, pairs.b)),
        num_unpaired=pairs.num_unpaired,
        num_other=pairs.num_other,
    )


def _told(pairs: Pairs, floor: float | None, gate: Gate) -> tuple[str, bool]:
    """Why the sides cannot be told apart ("" where they can), and whether the line may support the claim."""
    if len(pairs) < 2:
        return (ONE_PAIR if len(pairs) else NO_PAIR), False
    if floor is None:
        return NO_FLOOR, False
    is_above = [is_clear(side_interval(side, "accuracy"), floor, gate.margin) for side in (pairs.a, pairs.b)]
    if not any(is_above):
        return AT_FLOOR, False
    if gate.minds_ceiling and min(side["accuracy"].mean() for side in (pairs.a, pairs.b)) >= CEILING:
        return AT_CEILING, False
    return "", all(is_above) if gate.needs_both else is_above[0]


def once(side: Columns) -> Columns:
    """The runs of one side of pairs, each once."""
    index = np.unique(side["run_id"].astype(str), return_index=True)[1]
    return {name: column[index] for name, column in side.items()}


def side_interval(side: Columns, column: str) -> stats.Interval:
    """Mean of a column over the runs of one side of pairs."""
    runs = once(side)
    seeds, bodies = runs["seed"].tolist(), runs["body_seed"].tolist()
    return stats.crossed_interval(runs[column], seeds=seeds, body_seeds=bodies, of=f"mean {column}")


def is_clear(interval: stats.Interval, floor: float, margin: float = CLEAR) -> bool:
    """Whether a mean is at least `margin` above the floor, and its interval wholly above the floor."""
    return interval.estimate >= floor + margin and interval.low is not None and interval.low > floor


def tested(effect: Effect, bounds: Bounds) -> Tested:
    """Hold an effect against the bounds: t tests over seeds, or over body seeds where those vary more."""
    if not effect.values:
        return _untested(effect, None, "no pair of runs")
    interval = stats.crossed_interval(effect.values, seeds=effect.seeds, body_seeds=effect.bodies, of="mean effect")
    if interval.low is None or interval.high is None:
        return _untested(effect, interval.estimate, interval.method)
    num, mean = interval.num_samples, interval.estimate
    quantile = float(stdtrit(num - 1, (1 + stats.LEVEL) / 2))
    error = float(np.hypot((interval.high - mean) / quantile, effect.least_spread / np.sqrt(num)))
    low, high = mean - quantile * error, mean + quantile * error
    support, contradict = _p_values(mean, error, num - 1, bounds)
    counts = not effect.cannot
    return Tested(
        effect=effect,
        estimate=mean,
        low=low,
        high=high,
        method=interval.method,
        num_units=num,
        spread=error * float(np.sqrt(num)),
        p_support=support if counts and effect.may_support else 1.0,
        p_contradict=contradict if counts and effect.may_contradict else 1.0,
        verdict=_alone(effect, low, high, bounds),
    )


def _alone(effect: Effect, low: float, high: float, bounds: Bounds) -> Verdict:
    is_above = bounds.low is None or low > bounds.low
    is_below = bounds.high is None or high < bounds.high
    if effect.cannot:
        return Verdict.UNDECIDED
    if is_above and is_below and effect.may_support:
        return Verdict.SUPPORTED
    is_outside = (bounds.low is not None and high < bounds.low) or (bounds.high is not None and low > bounds.high)
    return Verdict.CONTRADICTED if is_outside and effect.may_contradict else Verdict.UNDECIDED


def _untested(effect: Effect, estimate: float | None, method: str) -> Tested:
    return Tested(
        effect=effect,
        estimate=estimate,
        low=None,
        high=None,
        method=method,
        num_units=len(effect.values) and 1,
        spread=None,
        p_support=1.0,
        p_contradict=1.0,
        verdict=Verdict.NOT_RUN if estimate is None else Verdict.UNDECIDED,
    )


def _p_values(mean: float, error: float, freedom: int, bounds: Bounds) -> tuple[float, float]:
    """One-sided p of "not between the bounds" (the larger of two tests, Schuirmann 1987) and of "between them"."""
    inside, outside = [], []
    for bound, sign in ((bounds.low, 1.0), (bounds.high, -1.0)):
        if bound is not None:
            score = sign * (mean - bound) / error
            inside.append(float(stdtr(freedom, -score)))
            outside.append(float(stdtr(freedom, score)))
    return max(inside), min(1.0, len(outside) * min(outside))
