"""How well a form predicts sizes that it has not seen, and which form does it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import pandas as pd

from analysis import refusals
from analysis.fits import Fit, fit
from analysis.fits_bootstrap import Draws, Refits, bootstrap, quantiles
from analysis.form_curves import Array
from analysis.forms import Form
from analysis.ladders import Ladder
from analysis.refusals import Reason, Refusal
from analysis.stats import LEVEL
from study.errors import UserError

_LEAST_SQUARES = 1e3
"""A Huber threshold beyond every residual of a logarithm: AICc needs the maximum of a normal likelihood."""
_NUM_STARTS = 8


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """What the smaller rungs said of the largest, and what it was.

    Attributes:
        x: [d] the rung left out.
        predicted: y there by the fit to the others.
        observed: its runs' mean, taken on the form's scale as the fit is.
        low, high: interval for that mean: of the curve and of the seeds' spread.
        level: nominal coverage.
        num_rungs: rungs that were fitted.
        fit: their fit.
    """

    x: Array
    predicted: float
    observed: float
    low: float
    high: float
    level: float
    num_rungs: int
    fit: Fit

    @property
    def error(self) -> float:
        """Predicted minus observed, in units of y."""
        return self.predicted - self.observed

    @property
    def relative_error(self) -> float:
        """Error as a share of what was observed."""
        return self.error / self.observed

    @property
    def is_inside(self) -> bool:
        """Whether the observed mean lies in the interval."""
        return self.low <= self.observed <= self.high


def leave_largest_out(
    ladder: Ladder,
    form: Form,
    *,
    delta: float | None = None,
    seed: int = 0,
    **refits: Unpack[Refits],
) -> Extrapolation | Refusal:
    """Fit all rungs but the largest (in the geometric mean of its inputs) and predict that one.

    Args:
        ladder: the runs.
        form: the curve.
        delta: see `fits.fit`.
        seed: of starts and bootstrap.
        refits: num_samples, num_starts, num_checked of the bootstrap.

    Raises:
        UserError: the form takes another number of inputs than the ladder has.
    """
    refusal = refusals.before(ladder, form)
    if refusal is not None:
        return refusal
    if ladder.num_rungs - 1 < len(form.parameters):
        sentence = f"{ladder.of}: {ladder.num_rungs - 1} rungs without the largest determine no {form.name}."
        return Refusal(Reason.FEW_SIZES, sentence, ladder, form)
    largest = int(np.log(ladder.x).sum(1).argmax())
    found = fit(ladder.without([largest]), form, delta=delta, num_starts=_NUM_STARTS, seed=seed)
    draws = bootstrap(found, seed=seed, **refits)
    x = ladder.x[largest]
    curve = form.scale.of(draws.curves(x[None])[:, 0])
    ends = form.scale.back(np.array(quantiles(curve + _noise(draws, int(ladder.num_units[largest]), seed))))
    return Extrapolation(
        x=x,
        predicted=float(found.predict(x[None])[0]),
        observed=float(form.scale.back(_on_scale(ladder, form)[largest])),
        low=float(ends.min()),
        high=float(ends.max()),
        level=LEVEL,
        num_rungs=ladder.num_rungs - 1,
        fit=draws.fit,
    )


def table(found: Extrapolation) -> pd.DataFrame:
    """One row: ladder, x under its names, predicted, low, high, level, observed, error, relative_error, is_inside."""
    ladder = found.fit.ladder
    row = {
        "ladder": ladder.of,
        **dict(zip(ladder.x_names, found.x.tolist(), strict=True)),
        "predicted": found.predicted,
        "low": found.low,
        "high": found.high,
        "level": found.level,
        "observed": found.observed,
        "error": found.error,
        "relative_error": found.relative_error,
        "is_inside": found.is_inside,
    }
    return pd.DataFrame([row])


def leave_one_out(ladder: Ladder, form: Form, *, delta: float | None = None, seed: int = 0) -> pd.DataFrame:
    """Every rung predicted from the others: x under its names, observed, predicted, error, relative_error, is_end.

    `is_end` marks the smallest and the largest, which are extrapolations. Rungs count once each however many runs.

    Raises:
        UserError: see `fits.fit`; fewer rungs than parameters remain.
    """
    if ladder.num_rungs - 1 < len(form.parameters):
        raise UserError(
            f"{ladder.of}: leaving one of {ladder.num_rungs} rungs out leaves too few for the {len(form.parameters)} "
            f"parameters of {form.name}; choose a form with fewer"
        )
    observed = form.scale.back(_on_scale(ladder, form))
    total = np.log(ladder.x).sum(1)
    rows = []
    for r in range(ladder.num_rungs):
        found = fit(ladder.without([r]), form, delta=delta, num_starts=_NUM_STARTS, seed=seed)
        predicted = float(found.predict(ladder.x[[r]])[0])
        rows.append({
            **dict(zip(ladder.x_names, ladder.x[r].tolist(), strict=True)),
            "observed": float(observed[r]),
            "predicted": predicted,
            "error": predicted - float(observed[r]),
            "relative_error": predicted / float(observed[r]) - 1,
            "is_end": r in (int(total.argmin()), int(total.argmax())),
        })  # fmt: skip
    return pd.DataFrame(rows)


def compare(ladder: Ladder, forms: Sequence[Form], *, delta: float | None = None, seed: int = 0) -> pd.DataFrame:
    """Forms side by side, the best AICc first: form, num_parameters, aicc, delta_aicc, weight, cv_error, why.

    `aicc` is Hurvich and Tsai's (1989) for a normal likelihood of the units' means (the noise counts as a parameter),
    brought from each form's scale to y so that forms on different scales compare; null where too few units remain.
    `weight` is Akaike's. `cv_error` is the root mean square, over rungs left out one at a time, of the log ratio of
    prediction to observation. `why` says why a form was not fitted.
    """
    rows = []
    for form in forms:
        refusal = refusals.before(ladder, form)
        row: dict[str, object] = {"form": form.name, "num_parameters": len(form.parameters)}
        if refusal is None:
            held_out = leave_one_out(ladder, form, delta=delta, seed=seed)
            ratio = np.log1p(held_out["relative_error"].to_numpy())
            row |= {"aicc": _aicc(ladder, form, seed), "cv_error": float(np.sqrt(np.mean(ratio**2))), "why": None}
        else:
            row |= {"aicc": None, "cv_error": None, "why": refusal.sentence}
        rows.append(row)
    found = pd.DataFrame(rows).astype({"aicc": float, "cv_error": float})
    found["delta_aicc"] = found["aicc"] - found["aicc"].min()
    likelihood = np.exp(-0.5 * found["delta_aicc"])
    found["weight"] = likelihood / likelihood.sum()
    order = ["form", "num_parameters", "aicc", "delta_aicc", "weight", "cv_error", "why"]
    return found.sort_values("aicc", kind="stable", na_position="last", ignore_index=True)[order]


def _aicc(ladder: Ladder, form: Form, seed: int) -> float | None:
    found = fit(ladder, form, delta=_LEAST_SQUARES, num_starts=_NUM_STARTS, seed=seed)
    residuals = np.concatenate(ladder.unit_means(found.residuals))
    y = form.scale.back(np.concatenate(ladder.unit_means(form.scale.of(found.predict(ladder.x)[ladder.rung]))))
    y = form.scale.back(form.scale.of(y) + residuals)
    num, parameters = len(residuals), len(form.parameters) + 1
    if num - parameters - 1 <= 0:
        return None
    deviance = num * (np.log(2 * np.pi * np.mean(residuals**2)) + 1) - 2 * float(form.scale.log_slope(y).sum())
    return float(deviance + 2 * parameters + 2 * parameters * (parameters + 1) / (num - parameters - 1))


def _noise(draws: Draws, num_units: int, seed: int) -> Array:
    """[B] what the mean of so many fresh units may be off by, with the spread of the fitted rungs and its t tails."""
    rng = np.random.default_rng([seed, 1])
    units = draws.fit.ladder.unit_means(draws.fit.target)
    freedom = int((draws.fit.ladder.num_units - 1).sum())
    spread = np.sqrt(sum(float(((unit - unit.mean()) ** 2).sum()) for unit in units) / freedom)
    return draws.misfit * spread / np.sqrt(num_units) * rng.standard_t(freedom, len(draws.theta))


def _on_scale(ladder: Ladder, form: Form) -> Array:
    """[R] mean of each rung's runs on the form's scale."""
    end = ladder.resolution or 0.0
    return ladder.means(form.scale.of(np.clip(ladder.y, end, None)))
