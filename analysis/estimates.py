"""A scaling law with its intervals, or a refusal: the one entry for figures, tables and the command line.

found = estimate(ladders(frame, x="num_params_total", y="test_error", by="init")["init random"], POWER_FLOOR)
if isinstance(found, Refusal): ...  # show the points and found.sentence
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Unpack

import pandas as pd

from analysis import refusals
from analysis.fits import Caution, Fit, fit
from analysis.fits_bootstrap import Draws, Refits, bootstrap
from analysis.forms import Form, Scale
from analysis.ladders import Ladder
from analysis.refusals import Refusal
from analysis.stats import Interval


@dataclass(frozen=True, eq=False)
class Estimate:
    """A law that the data carry.

    Attributes:
        draws: the fit and its bootstrap.
        intervals: by parameter of the formula.
    """

    draws: Draws
    intervals: dict[str, Interval]

    @property
    def fit(self) -> Fit:
        """The curve."""
        return self.draws.fit

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What belongs under the figure."""
        return self.fit.cautions


def estimate(
    ladder: Ladder,
    form: Form,
    *,
    delta: float | None = None,
    seed: int = 0,
    **refits: Unpack[Refits],
) -> Estimate | Refusal:
    """Fit, bootstrap and check a form on a ladder.

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
    found = fit(ladder, form, delta=delta, seed=seed)
    refusal = refusals.of_fit(found)
    if refusal is not None:
        return refusal  # before the bootstrap, which takes ten times as long
    if form.scale is Scale.LOG and refusals.at_chance(ladder).any():
        found = replace(found, cautions=(*found.cautions, Caution.SOME_AT_CHANCE))
    draws = bootstrap(found, seed=seed, **refits)
    refusal = refusals.of_draws(draws)
    if refusal is not None:
        return refusal
    return Estimate(draws, {p.name: draws.interval(p.name) for p in form.parameters})


def table(found: Estimate | Refusal) -> pd.DataFrame:
    """One row per parameter (value and interval in full precision), or one row with the reason for a refusal."""
    ladder = found.ladder if isinstance(found, Refusal) else found.fit.ladder
    shared = {"ladder": ladder.of, "x": " x ".join(ladder.x_names), "y": ladder.y_name}
    if isinstance(found, Refusal):
        name = found.form.name if found.form else "iso-FLOP parabolas"
        return pd.DataFrame([{**shared, "form": name, "refused": found.reason.value, "why": found.sentence}])
    form = found.fit.form
    rows = [
        {
            **shared,
            "form": form.name,
            "formula": form.formula,
            "parameter": parameter.name,
            "unit": parameter.unit,
            "estimate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "level": interval.level,
            "method": interval.method,
            "num_rungs": ladder.num_rungs,
            "num_runs": len(ladder.y),
            "min_seeds": interval.num_samples,
            "num_agreed": found.fit.num_agreed,
            "num_starts": found.fit.num_starts,
            "cautions": "; ".join(caution.value for caution in found.cautions),
        }
        for parameter, interval in zip(form.parameters, found.intervals.values(), strict=True)
    ]
    return pd.DataFrame(rows)
