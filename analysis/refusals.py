"""When a ladder does not carry a fit: the reasons, each with what was found and what would help, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import stats

from analysis.fits import Fit, prepare
from analysis.fits_bootstrap import Draws
from analysis.forms import Form, Scale
from analysis.ladders import Ladder

MIN_SEEDS = 3
"""Independent seeds (or body seeds) per rung: the fewest for which coverage was measured (benchmarks/fits.md)."""
MAX_LOST = 0.05
"""Share of bootstrap fits that may fail to converge."""
_DECADE = 10.0
_ERROR_RATE = 0.05


class Reason(Enum):
    """Why there is no line through the points."""

    FEW_SIZES = "too few sizes"
    FEW_SEEDS = "too few seeds"
    END_OF_SCALE = "values at the end of the scale"
    AT_CHANCE = "at chance"
    NOT_MONOTONE = "rises with size"
    NO_CONVERGENCE = "no convergence"
    AT_BOUND = "at a bound"
    TOO_WIDE = "interval too wide"


@dataclass(frozen=True, eq=False)
class Refusal:
    """No fit: the figure shows the points and the sentence.

    Attributes:
        reason: which of the reasons.
        sentence: what was found and what would help, for the figure.
        ladder, form: what was asked for; no form for iso-FLOP parabolas.
        fit: what the optimiser found, for the record only; None where it was not asked.
    """

    reason: Reason
    sentence: str
    ladder: Ladder
    form: Form | None
    fit: Fit | None = None


def before(ladder: Ladder, form: Form) -> Refusal | None:
    """Why the runs cannot carry this form; None where they may."""
    checks = (_few_sizes, few_seeds, _end_of_scale, _at_chance, _not_monotone)
    return next((refusal for check in checks if (refusal := check(ladder, form))), None)


def of_fit(fit: Fit) -> Refusal | None:
    """Why the fit itself is not to be believed, whatever its intervals; None where it may."""
    if not fit.is_converged:
        return _unconverged(f"the best of {fit.num_starts} starts", fit)
    if fit.at_bound:
        simpler = f"try the form {fit.form.simpler}" if fit.form.simpler else "the runs do not determine it"
        values = ", ".join(f"{name} = {fit.parameters[name]:.3g}" for name in fit.at_bound)
        return _refuse(Reason.AT_BOUND, f"{values} is the end of what is allowed; {simpler}", fit)
    return None


def of_draws(draws: Draws) -> Refusal | None:
    """Why the intervals of a fit are not to be believed; None where they may."""
    fit = draws.fit
    lost = 1 - len(draws.theta) / draws.num_samples
    if lost > MAX_LOST:
        return _unconverged(f"{lost:.0%} of the bootstrap fits", fit)
    for parameter in fit.form.parameters:
        interval = draws.interval(parameter.name)
        assert interval.low is not None
        assert interval.high is not None
        if parameter.decides and (interval.low <= 0 or interval.high / interval.low > _DECADE):
            span = f"{interval.low:.2g} to {interval.high:.2g}"
            help_ = "more seeds or a wider ladder would narrow it"
            return _refuse(
                Reason.TOO_WIDE, f"{parameter.name} lies anywhere from {span}, wider than a decade; {help_}", fit
            )
    return None


def _unconverged(what: str, fit: Fit) -> Refusal:
    return _refuse(Reason.NO_CONVERGENCE, f"{what} did not converge; more sizes or a simpler form would help", fit)


def _refuse(reason: Reason, sentence: str, fit: Fit) -> Refusal:
    return Refusal(reason, f"{fit.ladder.of}: {sentence}.", fit.ladder, fit.form, fit)


def _few_sizes(ladder: Ladder, form: Form) -> Refusal | None:
    for axis, name in enumerate(ladder.x_names):
        num = len(np.unique(ladder.x[:, axis]))
        if num < 4:
            sentence = f"{ladder.of}: {num} values of {name}, and a curve needs at least 4."
            return Refusal(Reason.FEW_SIZES, sentence, ladder, form)
    if ladder.num_rungs < form.min_rungs:
        num = len(form.parameters)
        sentence = (
            f"{ladder.of}: {ladder.num_rungs} rungs for the {num} parameters of {form.name}, which needs at least "
            f"{form.min_rungs}."
        )
        return Refusal(Reason.FEW_SIZES, sentence, ladder, form)
    return None


def at_chance(ladder: Ladder) -> np.ndarray:
    """[R] whether each rung's one-sided 95 % t interval, with the spread of all rungs, reaches the level of chance."""
    if ladder.chance is None:
        return np.zeros(ladder.num_rungs, dtype=bool)
    means, error, freedom = _means(ladder, ladder.y)
    return means + stats.t.ppf(1 - _ERROR_RATE, freedom) * error >= ladder.chance


def few_seeds(ladder: Ladder, form: Form | None) -> Refusal | None:
    """Rungs with fewer than MIN_SEEDS independent units; None where there are none."""
    few = np.flatnonzero(ladder.num_units < MIN_SEEDS)
    if not len(few):
        return None
    r = int(few[np.argmin(ladder.num_units[few])])
    unit = "body seeds" if len(set(ladder.body_seed[ladder.rung == r])) > 1 else "seeds"
    sentence = (
        f"{ladder.of}: {len(few)} of {ladder.num_rungs} rungs have fewer than {MIN_SEEDS} {unit}, the one at "
        f"{_where(ladder, r)} has {ladder.num_units[r]}; spread cannot be told from so few."
    )
    return Refusal(Reason.FEW_SEEDS, sentence, ladder, form)


def _end_of_scale(ladder: Ladder, form: Form) -> Refusal | None:
    top = np.inf if form.scale is Scale.LOG else 1.0
    end = ladder.resolution or 0.0
    ends = np.array(
        [
            bool(np.all((y <= end) | (y >= top - end))) if end else bool(np.any((y <= 0) | (y >= top)))
            for y in (ladder.y[ladder.rung == r] for r in range(ladder.num_rungs))
        ]
    )
    if not ends.any():
        return None
    hint = "leave those sizes out" if end else "give the resolution of the measurement, or leave those sizes out"
    sentence = (
        f"{ladder.of}: {int(ends.sum())} of {ladder.num_rungs} rungs are at the end of the {form.scale.value} scale, "
        f"first at {_where(ladder, int(np.flatnonzero(ends)[0]))}, where nothing is left to scale; {hint}."
    )
    return Refusal(Reason.END_OF_SCALE, sentence, ladder, form)


def _at_chance(ladder: Ladder, form: Form) -> Refusal | None:
    above = int((~at_chance(ladder)).sum())
    if above >= 4:
        return None
    sentence = (
        f"{ladder.of}: {above} of {ladder.num_rungs} rungs do better than chance ({ladder.y_name} {ladder.chance:.3g}) "
        "beyond their seeds' spread, and a curve needs at least 4."
    )
    return Refusal(Reason.AT_CHANCE, sentence, ladder, form)


def _not_monotone(ladder: Ladder, form: Form) -> Refusal | None:
    """A rung that is worse than a smaller one: one-sided t tests of all such pairs, Bonferroni over the pairs."""
    if not form.only_falls:
        return None
    target = prepare(ladder, form).target
    means, error, freedom = _means(ladder, target if form.scale is Scale.LOG else -target)
    smaller = (ladder.x[:, None, :] <= ladder.x[None, :, :]).all(-1) & ~np.eye(ladder.num_rungs, dtype=bool)
    rise = np.where(smaller, means[None, :] - means[:, None], -np.inf)
    noise = np.sqrt(error[None, :] ** 2 + error[:, None] ** 2)
    limit = stats.t.ppf(1 - _ERROR_RATE / max(1, int(smaller.sum())), freedom) * noise
    excess = np.where(rise > limit, rise, -np.inf)
    if not np.isfinite(excess).any():
        return None
    i, j = np.unravel_index(int(excess.argmax()), excess.shape)
    sentence = (
        f"{ladder.of}: {ladder.y_name} rises from {ladder.means(ladder.y)[i]:.3g} at {_where(ladder, int(i))} to "
        f"{ladder.means(ladder.y)[j]:.3g} at {_where(ladder, int(j))}, more than the seeds' spread explains; "
        f"{form.formula} only falls."
    )
    return Refusal(Reason.NOT_MONOTONE, sentence, ladder, form)


def _means(ladder: Ladder, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Means of the rungs, their standard errors from the spread of all rungs, and its degrees of freedom."""
    units = ladder.unit_means(values)
    freedom = int((ladder.num_units - 1).sum())
    pooled = sum(float(((unit - unit.mean()) ** 2).sum()) for unit in units) / max(1, freedom)
    return np.array([unit.mean() for unit in units]), np.sqrt(pooled / ladder.num_units), max(1, freedom)


def _where(ladder: Ladder, rung: int) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in zip(ladder.x_names, ladder.x[rung], strict=True))
