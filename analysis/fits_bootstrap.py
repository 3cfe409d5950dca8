"""Hierarchical bootstrap of a fit: body seeds, then seeds, are drawn again inside every rung, and the curve refitted.

With three seeds the plain percentile bootstrap covered 83 to 85 % where it says 95 % (benchmarks/fits.md). Two
corrections mend that:

1. deviations from the rung's mean are stretched so that the mean's variance over the samples is the unbiased estimate
   (n / (n - 1) for n seeds; Davison and Hinkley 1997, section 2.8 and 3.8 for two levels), and
2. in each sample all deviations are multiplied by sqrt(df / chi2_df), because the spread itself is estimated: this
   turns normal tails into those of Student's t. df is Satterthwaite's (1946) over the rungs, which need not be
   equally noisy.

Intervals are percentiles of the refitted values: they respect bounds and the skewness of exponents and floors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.fits import Caution, Fit, minimise, one_thread, starts
from analysis.fits_batch import fit_batch
from analysis.form_curves import Array
from analysis.ladders import Ladder
from analysis.stats import LEVEL, Interval

NUM_SAMPLES, NUM_STARTS, NUM_CHECKED = 1000, 8, 4


class Refits(TypedDict, total=False):
    """How much a bootstrap does: arguments of `bootstrap`, whose defaults hold for what is left out."""

    num_samples: int
    num_starts: int
    num_checked: int


_EXACT = 1e-12
_WORSE = 1e-3
"""A refit is worse than SciPy's where its objective exceeds SciPy's by this share."""
_MISFIT_LEVEL = 0.05
_LEAST_SQUARES = 1e6
"""A Huber threshold that no residual of a logarithm reaches."""


@dataclass(frozen=True, eq=False)
class Draws:
    """What a fit might have been with other seeds.

    Attributes:
        fit: the fit to the ladder itself, with the cautions that the refits add.
        theta: [B, p] refitted parameters, as the optimiser sees them.
        num_samples: samples drawn; B of them could be fitted.
        worst_gap: largest share by which a checked refit's objective exceeds SciPy's from the same starts.
        freedom: degrees of freedom of the seeds' spread.
        misfit: factor by which rungs scatter more about the curve than their seeds explain; 1 where they do not.
        seed: of the generator.
    """

    fit: Fit
    theta: Array
    num_samples: int
    worst_gap: float
    freedom: float
    misfit: float
    seed: int

    @property
    def method(self) -> str:
        """How the intervals were made, for captions and tables."""
        units = "body seeds, then seeds" if _has_bodies(self.fit.ladder) else "seeds"
        wider = f", widened {self.misfit:.2g}-fold for misfit" if self.misfit > 1 else ""
        return (
            f"percentiles of {len(self.theta)} bootstrap fits over {units} within rungs, t-corrected with "
            f"{self.freedom:.1f} degrees of freedom{wider}, seed {self.seed}"
        )

    def values(self, name: str) -> Array:
        """[B] a parameter of the formula."""
        return self.fit.form.reported(self.theta, self.fit.centre, self.fit.log_unit)[name]

    def interval(self, name: str, *, level: float = LEVEL) -> Interval:
        """Interval of a parameter of the formula."""
        return self.interval_of(self.fit.parameters[name], self.values(name), of=name, level=level)

    def interval_of(self, estimate: float, values: Array, *, of: str, level: float = LEVEL) -> Interval:
        """Interval of any number computed from the parameters.

        Args:
            estimate: from the fit itself.
            values: [B] from the refits; may be infinite.
            of: the quantity, in words.
            level: nominal coverage.
        """
        low, high = quantiles(values, level)
        smallest = int(self.fit.ladder.num_units.min())
        return Interval(of=of, estimate=estimate, low=low, high=high, level=level, method=self.method,
                        num_samples=smallest)  # fmt: skip

    def band(self, x: ArrayLike, *, level: float = LEVEL) -> tuple[Array, Array]:
        """Pointwise interval [m], [m] of the curve at x ([m] or [m, d]); wider beyond the ladder, see `curves`."""
        low, high = np.quantile(self.curves(x), [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def curves(self, x: ArrayLike) -> Array:
        """[B, m] the curve at x ([m] or [m, d]) as it might have been with other seeds.

        Beyond the ladder deviations from the fit are multiplied by sqrt(n / (n - p)) on the form's scale, for n
        independent runs and p parameters. A curve lies nearer to the runs that it was fitted to than to others by this
        factor; between them it hardly matters, beyond them nothing holds it. Without it, intervals at three times the
        largest x held the truth in 90 % of studies of the broken law (benchmarks/fits.md).
        """
        points, ends = np.asarray(x, dtype=float), self.fit.ladder.x
        points = points[:, None] if points.ndim == 1 else points
        is_beyond = ((points < ends.min(0) * (1 - _EXACT)) | (points > ends.max(0) * (1 + _EXACT))).any(1)
        num, num_parameters = int(self.fit.ladder.num_units.sum()), self.theta.shape[1]
        factor = np.where(is_beyond, np.sqrt(num / max(1, num - num_parameters)), 1.0)
        centre = self.fit.on_scale(points, self.fit.theta[None])
        return self.fit.form.scale.back(centre + factor * (self.fit.on_scale(points, self.theta) - centre))


def quantiles(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """The values [B], infinite ones included, that leave (1 - level) / 2 outside on either side."""
    low = np.quantile(values, (1 - level) / 2, method="lower")
    return float(low), float(np.quantile(values, (1 + level) / 2, method="higher"))


@one_thread
def bootstrap(
    fit: Fit,
    *,
    num_samples: int = NUM_SAMPLES,
    num_starts: int = NUM_STARTS,
    seed: int = 0,
    num_checked: int = NUM_CHECKED,
) -> Draws:
    """Refit the form to samples of the ladder's own seeds.

    Args:
        fit: the fit to the ladder.
        num_samples: samples.
        num_starts: starting points of each refit: the fit itself and fresh ones.
        seed: of the generator; the same seed gives the same draws.
        num_checked: refits that SciPy repeats from the same starts; `worst_gap` says how they compare.
    """
    rng = np.random.default_rng(seed)
    deviations, freedom = resample(fit.ladder, fit.target, num_samples, rng)
    misfit = _misfit(fit)
    target = fit.ladder.means(fit.target)[fit.ladder.rung] + misfit * deviations
    begin = np.broadcast_to(fit.theta, (num_samples, 1, len(fit.theta)))
    if num_starts > 1:
        begin = np.concatenate([begin, starts(fit.form, fit.z, target, num_starts - 1, seed)], axis=1)
    batch = fit_batch(fit.form, fit.z, target, begin, delta=fit.delta)
    gap = 0.0
    for i in range(min(num_checked, num_samples)):
        reference = min(minimise(fit.form, fit.z, target[i], theta, fit.delta).fun for theta in begin[i])
        gap = max(gap, float((batch.objective[i] - reference) / max(reference, _EXACT)))
    said = {
        Caution.MISFIT: misfit > 1,
        Caution.REFITS_LOST: not batch.converged.all(),
        Caution.REFITS_DISAGREE: gap > _WORSE,
    }
    told = replace(fit, cautions=(*fit.cautions, *(caution for caution, is_so in said.items() if is_so)))
    return Draws(told, batch.theta[batch.converged], num_samples, gap, freedom, misfit, seed)


def resample(ladder: Ladder, target: Array, num: int, rng: np.random.Generator) -> tuple[Array, float]:
    """Deviations [num, n] of resampled runs from their rung's mean, corrected for few units, and their freedom.

    Args:
        ladder: which run belongs to which rung, body seed and seed.
        target: [n] values of the runs.
        num: samples.
        rng: the generator.
    """
    deviations, spreads = np.empty((num, len(target))), np.empty(ladder.num_rungs)
    freedoms = np.empty(ladder.num_rungs, dtype=int)
    for r in range(ladder.num_rungs):
        on = np.flatnonzero(ladder.rung == r)
        drawn = target[on[_draw(ladder.units[on], num, rng)]] - target[on].mean()
        wanted, freedoms[r] = _variance_of_mean(target[on], ladder.seed[on], ladder.body_seed[on])
        found = drawn.mean(1).var()
        deviations[:, on] = drawn * (np.sqrt(wanted / found) if found > 0 else 1.0)
        spreads[r] = wanted * (freedoms[r] + 1)
    freedom = _freedom(spreads, freedoms)
    return deviations * np.sqrt(freedom / rng.chisquare(freedom, (num, 1))), freedom


def _draw(units: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """[num, m] positions of runs drawn for the m runs of a rung: for each unit's runs another unit, then runs of it."""
    members = [np.flatnonzero(units == unit) for unit in range(units.max() + 1)]
    counts = np.array([len(member) for member in members])
    padded = np.zeros((len(members), counts.max()), dtype=int)
    for row, member in zip(padded, members, strict=True):
        row[: len(member)] = member
    chosen = rng.integers(len(members), size=(num, len(members)))[:, units]
    within = (rng.random((num, len(units))) * counts[chosen]).astype(int)
    return padded[chosen, within]


def _variance_of_mean(values: Array, seeds: np.ndarray, bodies: np.ndarray) -> tuple[float, int]:
    """Unbiased variance of a rung's mean and its degrees of freedom.

    Where seeds and body seeds cross, the grouping with the larger variance counts, as in stats.crossed_interval.
    """
    found = []
    for labels in (seeds, bodies):
        group = np.unique(labels, return_inverse=True)[1]
        means = np.bincount(group, values) / np.bincount(group)
        found.append((float(means.var(ddof=1)) / len(means) if len(means) > 1 else 0.0, len(means) - 1))
    return max(found)


def _freedom(spreads: Array, freedoms: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances [R]; the plain sum where nothing varies."""
    squares = (spreads**2 / np.maximum(freedoms, 1)).sum()
    return float(spreads.sum() ** 2 / squares) if squares > 0 else float(freedoms.sum())


def _misfit(fit: Fit) -> float:
    """Birge's (1932) ratio where the F test of lack of fit is significant, else 1."""
    ladder, freedom = fit.ladder, fit.ladder.num_rungs - len(fit.theta)
    units = ladder.unit_means(fit.target)
    pure_freedom = int((ladder.num_units - 1).sum())
    if freedom < 1 or pure_freedom < 1:
        return 1.0
    pure = sum(float(((unit - unit.mean()) ** 2).sum()) for unit in units) / pure_freedom
    best = fit_batch(fit.form, fit.z, fit.target[None], fit.theta[None, None], delta=_LEAST_SQUARES).theta
    about = ladder.means(fit.target - fit.form.curve(best, fit.z)[0][0])
    lack = float((ladder.num_units * about**2).sum()) / freedom
    if pure == 0 or stats.f.sf(lack / pure, freedom, pure_freedom) >= _MISFIT_LEVEL:
        return 1.0
    return max(1.0, float(np.sqrt(lack / pure)))


def _has_bodies(ladder: Ladder) -> bool:
    return any(len(set(ladder.body_seed[ladder.rung == r])) > 1 for r in range(ladder.num_rungs))
