"""Two ladders against each other: the ratio of exponents, and how many times more the one needs to match the other.

"Random needs 12 times the examples that pretrained needs" holds at one place of pretrained's ladder, and only where
random's own ladder reaches that far; where it does not, the answer is a bound ("more than 8 times") and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from analysis.estimates import Estimate
from analysis.fits import Fit
from analysis.fits_bootstrap import quantiles
from analysis.form_curves import Array
from analysis.stats import LEVEL, Interval
from study.errors import UserError, unknown_name

_NUM_GRID = 1024
"""Points of x between which a curve is taken as straight in its logarithm: under 1e-4 of x over four decades."""


class Censoring(Enum):
    """Whether the ladder's range shows the factor itself or only a bound of it."""

    NONE = "seen"
    MORE = "more than the range shows"
    LESS = "less than the range shows"


@dataclass(frozen=True, kw_only=True)
class Match:
    """How many times more x a ladder needs for what a reference reaches.

    Attributes:
        of, reference: the two ladders.
        x_name: what is needed more of.
        at: x of the reference.
        y: what the reference reaches there.
        factor: x of the ladder over `at`; None where it is censored.
        censoring: whether the fit reaches y within the ladder's range.
        low, high: interval of the factor; None is an open end, beyond what the range shows.
        least, most: smallest and largest factor that the range shows.
        share_reached: share of bootstrap pairs in which y is reached within the range.
        level, method: of the interval.
    """

    of: str
    reference: str
    x_name: str
    at: float
    y: float
    factor: float | None
    censoring: Censoring
    low: float | None
    high: float | None
    least: float
    most: float
    share_reached: float
    level: float
    method: str

    @property
    def sentence(self) -> str:
        """The finding in words, with its censoring."""
        what = f"times the {self.x_name} of {self.reference} at {self.at:.3g}"
        low = f"under {self.least:.3g}" if self.low is None else f"{self.low:.3g}"
        high = f"over {self.most:.3g}" if self.high is None else f"{self.high:.3g}"
        ends = f"{low} to {high}"
        if self.low == self.most or self.high == self.least:  # both ends lie beyond the range, on the same side
            ends = high if self.low == self.most else low
        span = f"({self.level:.0%} interval {ends})"
        if self.factor is not None:
            return f"{self.of} needs {self.factor:.3g} {what} {span}."
        if self.censoring is Censoring.MORE:
            return f"{self.of} needs more than {self.most:.3g} {what}: not reached within its range {span}."
        return f"{self.of} needs less than {self.least:.3g} {what}: reached before its range begins {span}."


def exponent_ratio(found: Estimate, reference: Estimate, *, name: str = "alpha", level: float = LEVEL) -> Interval:
    """Interval of one ladder's exponent over another's; the two bootstraps are independent.

    Args:
        found: the numerator ("pretrained").
        reference: the denominator ("random").
        name: the exponent, a parameter of both forms.
        level: nominal coverage.

    Raises:
        UserError: a form without that parameter.
    """
    for one in (found, reference):
        if name not in one.fit.parameters:
            raise unknown_name("parameter", name, one.fit.parameters)
    num = min(len(found.draws.theta), len(reference.draws.theta))
    values = _shuffled(found.draws.values(name), num, 0) / _shuffled(reference.draws.values(name), num, 1)
    low, high = quantiles(values, level)
    return Interval(
        of=f"{name} of {found.fit.ladder.of} over {name} of {reference.fit.ladder.of}",
        estimate=found.fit.parameters[name] / reference.fit.parameters[name],
        low=low,
        high=high,
        level=level,
        method=f"{num} independent pairs of {found.draws.method}",
        num_samples=min(found.intervals[name].num_samples, reference.intervals[name].num_samples),
    )


def match(found: Estimate, reference: Estimate, *, at: float, beyond: float = 1.0, level: float = LEVEL) -> Match:
    """How many times more x `found` needs for what `reference` reaches at x = `at`.

    Args:
        found: the ladder that has to catch up ("random").
        reference: the one it is measured against ("pretrained"); same x and y.
        at: x of the reference, inside its range.
        beyond: how far outside its own rungs `found` may be read, as a factor of x; 1 is not at all.
        level: nominal coverage.

    Raises:
        UserError: ladders of different x or y, several inputs, or an `at` outside the reference's rungs.
    """
    mine, other = found.fit.ladder, reference.fit.ladder
    if (mine.x_names, mine.y_name) != (other.x_names, other.y_name) or len(mine.x_names) != 1:
        raise UserError(
            f"{mine.of} has {mine.y_name} by {' and '.join(mine.x_names)}, {other.of} {other.y_name} by "
            f"{' and '.join(other.x_names)}; give two ladders of the same y by the same one x"
        )
    if not other.x.min() <= at <= other.x.max():
        raise UserError(
            f"at {at:g} lies outside {other.of} ({other.x.min():g} to {other.x.max():g}); choose one inside"
        )
    low, high = float(mine.x.min()) / beyond, float(mine.x.max()) * beyond
    num = min(len(found.draws.theta), len(reference.draws.theta))
    wanted = _shuffled(reference.fit.predict([at], reference.draws.theta)[:, 0], num, 1)
    needed = _reach(found.fit, _shuffled(found.draws.theta, num, 0), wanted, low, high) / at
    y = float(reference.fit.predict([at])[0])
    factor = float(_reach(found.fit, found.fit.theta[None], np.array([y]), low, high)[0]) / at
    ends = quantiles(needed, level)
    censoring = {0.0: Censoring.LESS, np.inf: Censoring.MORE}.get(factor, Censoring.NONE)
    return Match(
        of=mine.of, reference=other.of, x_name=mine.x_names[0], at=at, y=y,
        factor=factor if censoring is Censoring.NONE else None, censoring=censoring,
        low=None if ends[0] == 0 else min(ends[0], high / at),
        high=None if np.isinf(ends[1]) else max(ends[1], low / at),
        least=low / at, most=high / at,
        share_reached=float((np.isfinite(needed) & (needed > 0)).mean()),
        level=level, method=f"{num} independent pairs of {found.draws.method}",
    )  # fmt: skip


def _reach(fit: Fit, theta: Array, wanted: Array, low: float, high: float) -> Array:
    """[S] smallest x of the range where each curve is down to `wanted` [S]: 0 if it begins there, inf for never."""
    x = np.geomspace(low, high, _NUM_GRID)
    above = np.log(fit.predict(x, theta)) - np.log(wanted)[:, None]
    down = above <= 0
    first = np.maximum(down.argmax(1), 1)
    rows = np.arange(len(theta))
    before, after = above[rows, first - 1], above[rows, first]
    share = before / np.where(before > after, before - after, 1.0)
    found = np.exp(np.log(x[first - 1]) + share * np.log(x[1] / x[0]))
    return np.where(down[:, 0], 0.0, np.where(down.any(1), found, np.inf))


def _shuffled(values: Array, num: int, seed: int) -> Array:
    """That many rows in an order of their own: ladders bootstrapped with the same seed share random numbers."""
    return np.random.default_rng([seed, len(values)]).permutation(values)[:num]
