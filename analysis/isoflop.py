"""Iso-FLOP parabolas: the best size for each budget without a law (approach 2 of Hoffmann et al. 2022).

A parabola is a local approximation: with alpha and beta far apart, or sizes far from the minimum or all on one side of
it, the exponent is biased even without noise (arXiv 2603.22339); compare it with the joint law's (analysis.frontier).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis import refusals
from analysis.fits_bootstrap import quantiles, resample
from analysis.form_curves import Array
from analysis.ladders import Ladder
from analysis.refusals import Reason, Refusal
from analysis.stats import Interval
from study.errors import UserError

_MIN_SIZES, _MIN_BUDGETS = 4, 3
_MAX_UNBOUNDED = 0.02
"""Share of bootstrap samples whose parabola may open downwards: fewer than lie outside the interval anyway."""


@dataclass(frozen=True, eq=False)
class IsoFlop:
    """Parabolas through the sizes of each budget, and a power law through their minima.

    Attributes:
        budgets: [K] operations.
        best_size: [K] N at the minimum of each parabola.
        best_y: [K] y there.
        size_intervals: one for each budget.
        exponent: a in N = G C^a, with its interval.
        coefficient: G.
        centres: [K] log N from which the parabolas are written.
        coefficients: [K, 3] of the parabolas in log N - centre: constant, linear, square.
    """

    budgets: Array
    best_size: Array
    best_y: Array
    size_intervals: tuple[Interval, ...]
    exponent: Interval
    coefficient: float
    centres: Array
    coefficients: Array


def isoflop(ladder: Ladder, *, num_samples: int = 1000, seed: int = 0) -> IsoFlop | Refusal:
    """Fit a parabola to each budget by least squares (closed form), with bootstrap intervals as analysis.fits has them.

    Args:
        ladder: rungs over (budget in FLOP, size), in this order of inputs.
        num_samples: bootstrap samples.
        seed: of the generator.

    Raises:
        UserError: not two inputs.
    """
    if ladder.x.shape[1] != 2:
        raise UserError(f"iso-FLOP parabolas need a ladder over (budget, size), got {', '.join(ladder.x_names)}")
    budgets = np.unique(ladder.x[:, 0])
    groups = [np.flatnonzero(ladder.x[:, 0] == budget) for budget in budgets]
    refusal = _few(ladder, budgets, groups)
    if refusal is not None:
        return refusal
    rng = np.random.default_rng(seed)
    drawn = _drawn(ladder, num_samples, rng)
    fitted = [_vertices(ladder, group, drawn.means[:, group]) for group in groups]
    curves, vertex = (np.stack(parts, axis=1) for parts in zip(*fitted, strict=True))
    refusal = _outside(ladder, budgets, groups, vertex)
    if refusal is not None:
        return refusal
    x = np.log(budgets) - np.log(budgets).mean()
    exponents = vertex @ x / (x @ x)
    # One budget has fewer runs than all of them, so its spread is known less well: its interval has its own freedom.
    alone = [_drawn(_only(ladder, group), num_samples, rng) for group in groups]
    sizes = [
        _interval(f"best size at {budget:g} FLOP", np.exp(_vertices(ladder, group, own.means)[1]), own)
        for budget, group, own in zip(budgets, groups, alone, strict=True)
    ]
    centres = np.array([np.log(ladder.x[group, 1]).mean() for group in groups])
    bend = curves[..., 2]
    best_y = curves[0, :, 0] - curves[0, :, 1] ** 2 / (4 * bend[0])
    return IsoFlop(
        budgets=budgets,
        best_size=np.exp(vertex[0]),
        best_y=best_y,
        size_intervals=tuple(sizes),
        exponent=_interval("a in N = G C^a", exponents, drawn),
        coefficient=float(np.exp(vertex[0].mean() - exponents[0] * np.log(budgets).mean())),
        centres=centres,
        coefficients=curves[0],
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Means [1 + B, R] of the rungs, as measured and as they might have been; freedom of their spread; fewest seeds."""

    means: Array
    freedom: float
    num_seeds: int


def _drawn(ladder: Ladder, num_samples: int, rng: np.random.Generator) -> _Drawn:
    deviations, freedom = resample(ladder, ladder.y, num_samples, rng)
    drawn = ladder.means(ladder.y)[ladder.rung] + deviations
    return _Drawn(ladder.means(np.concatenate([ladder.y[None], drawn])), freedom, int(ladder.num_units.min()))


def _interval(of: str, values: Array, drawn: _Drawn) -> Interval:
    """Percentiles of values [1 + B], of which the first is the estimate; samples without a minimum have none."""
    known = values[1:][~np.isnan(values[1:])]
    low, high = quantiles(known)
    method = f"percentiles of {len(known)} bootstrap fits over seeds within rungs, t-corrected with "
    method += f"{drawn.freedom:.1f} degrees of freedom"
    return Interval(of=of, estimate=float(values[0]), low=low, high=high, method=method, num_samples=drawn.num_seeds)


def _only(ladder: Ladder, group: np.ndarray) -> Ladder:
    return ladder.without(np.setdiff1d(np.arange(ladder.num_rungs), group).tolist())


def _vertices(ladder: Ladder, group: np.ndarray, means: Array) -> tuple[Array, Array]:
    """Parabolas [S, 3] through the means [S, m] of a budget's rungs, and log N at their minima, NaN without one."""
    sizes = np.log(ladder.x[group, 1])
    curves = _parabola(sizes - sizes.mean(), means)
    bend = curves[:, 2]
    return curves, np.where(bend > 0, -curves[:, 1] / (2 * np.where(bend > 0, bend, 1.0)), np.nan) + sizes.mean()


def _parabola(x: Array, y: Array) -> Array:
    """Least squares of y [S, m] in 1, x, x^2 -> coefficients [S, 3]."""
    return y @ np.linalg.pinv(np.stack([np.ones_like(x), x, x**2], axis=1)).T


def _few(ladder: Ladder, budgets: Array, groups: list[np.ndarray]) -> Refusal | None:
    if len(budgets) < _MIN_BUDGETS:
        sentence = f"{ladder.of}: {len(budgets)} budgets, and a power law through the minima needs {_MIN_BUDGETS}."
        return Refusal(Reason.FEW_SIZES, sentence, ladder, None)
    for budget, group in zip(budgets, groups, strict=True):
        if len(group) < _MIN_SIZES:
            sentence = f"{ladder.of}: {len(group)} sizes at {budget:.3g} FLOP, and a parabola needs {_MIN_SIZES}."
            return Refusal(Reason.FEW_SIZES, sentence, ladder, None)
    return refusals.few_seeds(ladder, None)


def _outside(ladder: Ladder, budgets: Array, groups: list[np.ndarray], vertex: Array) -> Refusal | None:
    """A minimum that the sizes of its budget do not enclose, or that too many samples do not have."""
    for k, (budget, group) in enumerate(zip(budgets, groups, strict=True)):
        low, high = ladder.x[group, 1].min(), ladder.x[group, 1].max()
        if not np.log(low) < vertex[0, k] < np.log(high):
            sentence = (
                f"{ladder.of}: at {budget:.3g} FLOP the best size is not between {low:.3g} and {high:.3g}; "
                "add sizes on the side where y still falls."
            )
            return Refusal(Reason.AT_BOUND, sentence, ladder, None)
        lost = float(np.isnan(vertex[1:, k]).mean())
        if lost > _MAX_UNBOUNDED:
            sentence = f"{ladder.of}: at {budget:.3g} FLOP {lost:.0%} of the bootstrap parabolas have no minimum."
            return Refusal(Reason.TOO_WIDE, sentence, ladder, None)
    return None
