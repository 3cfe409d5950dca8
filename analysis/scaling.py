"""Scaling figures: error along each ladder of a ledger, with a law where the data carry one and the reason where not.

    rows = scaling.table(load.load("OUT").runs)
    scaling.draw(rows[rows["axis"] == "size"])

A table holds everything that is drawn: rungs, the points of curves and their bands, and what became of each fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.axes import Axis, Series, find
from analysis.estimates import Estimate, estimate
from analysis.extrapolation import Extrapolation, leave_largest_out
from analysis.fits_bootstrap import Refits
from analysis.forms import POWER_FLOOR, form_named
from analysis.ladders import Ladder
from analysis.refusals import Reason, Refusal
from analysis.scaling_figure import CURVE, FIT, RUNG, draw
from analysis.stats import crossed_interval

__all__ = ["INTERVAL_TEXT", "MOST_FITTED_RUNS", "Law", "draw", "laws", "table"]

INTERVAL_TEXT = "95 % t interval of the mean over seeds (the wider of seeds and body seeds where both vary)"
FORM = POWER_FLOOR
"""Tried first; where its floor ends at zero, the form without one. Fixed before any data were seen."""
BOOTSTRAP: Refits = {"num_samples": 400, "num_starts": 2, "num_checked": 1}
"""Samples and starts for which coverage was measured (benchmarks/fits.md). `study fit` takes 1,000, 8 and 4."""
MOST_FITTED_RUNS = 5000
"""Runs of the ladders that one report fits, some 15 s in all; further ladders are drawn as points."""
_NUM_CURVE = 48


@dataclass(frozen=True, eq=False)
class Law:
    """A ladder and what became of its fit.

    Attributes:
        series: the ladder with what it is about.
        found: the law or the refusal; None where there is no ladder, or the report has fitted enough.
        largest: the largest rung predicted from the others; None where it was not asked.
    """

    series: Series
    found: Estimate | Refusal | None
    largest: Extrapolation | None = None

    @property
    def sentence(self) -> str:
        """The law with its intervals, or why there is none."""
        if isinstance(self.found, Estimate):
            return _stated(self.found, self.largest)
        if isinstance(self.found, Refusal):
            return self.found.sentence
        return self.series.problem or f"{self.series.of}: not fitted here; `study fit` does."

    @property
    def short(self) -> str:
        """In a few words, for the figure: "" with a law, else why there is none."""
        if isinstance(self.found, Estimate):
            return ""
        return self.found.reason.value if isinstance(self.found, Refusal) else "not fitted"


def laws(series: Sequence[Series]) -> list[Law]:
    """Every ladder with its law, or why it has none; the first `MOST_FITTED_RUNS` runs are fitted."""
    found, num_fitted = [], 0
    for one in series:
        if one.ladder is None or num_fitted + len(one.ladder.y) > MOST_FITTED_RUNS:
            found.append(Law(one, None))
            continue
        law = _law(one.ladder)
        num_fitted += len(one.ladder.y) if isinstance(law, Estimate) or law.fit is not None else 0
        largest = None
        if isinstance(law, Estimate):
            left = leave_largest_out(one.ladder, law.fit.form, **BOOTSTRAP)
            largest = left if isinstance(left, Extrapolation) else None
        found.append(Law(one, law, largest))
    return found


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Every ladder of a frame of runs, axis by axis; see `rows` for the columns."""
    return rows(laws(find(frame)))


def rows(found: Sequence[Law]) -> pd.DataFrame:
    """One row per rung, per point of a curve, and per fit (column `kind`), sharing these columns:

    axis, x_name (column of the ledger), task, protocol, train_set, setting, init; x; mean, low, high (test error,
    fraction: of a rung its mean and t interval, of a curve the law and its pointwise 95 % interval); of rungs also
    rung (its value as text), sd, num_seeds, num_runs, num_diverged, num_failed, chance, floor (errors of a uniform
    guess and of the best trivial predictor), method; of fits also form, note (a few words where there is no law),
    sentence.
    """
    parts = [row for law in found for row in _rows(law)]
    columns = [
        "kind", "axis", "x_name", "task", "protocol", "train_set", "setting", "init", "x", "mean", "low", "high",
        "rung", "sd", "num_seeds", "num_runs", "num_diverged", "num_failed", "chance", "floor", "method", "form",
        "note", "sentence",
    ]  # fmt: skip
    numbers = dict.fromkeys(("x", "mean", "low", "high", "sd", "chance", "floor"), float)
    return pd.DataFrame(parts, columns=columns).astype(numbers)


def _law(ladder: Ladder) -> Estimate | Refusal:
    found = estimate(ladder, FORM, **BOOTSTRAP)
    if isinstance(found, Refusal) and found.reason is Reason.AT_BOUND and FORM.simpler:
        return estimate(ladder, form_named(FORM.simpler), **BOOTSTRAP)
    return found


def _stated(law: Estimate, largest: Extrapolation | None) -> str:
    of = law.fit.ladder
    parts = [f"{name} {one.estimate:.3g} [{one.low:.3g}, {one.high:.3g}]" for name, one in law.intervals.items()]
    text = f"{of.of}: {law.fit.form.formula} with {', '.join(parts)}; {of.num_rungs} rungs, {len(of.y)} runs"
    if largest is not None:
        side = "inside" if largest.is_inside else "outside"
        text += (
            f"; the largest rung predicted from the others {100 * largest.predicted:.1f} %, measured "
            f"{100 * largest.observed:.1f} %, {side} its interval"
        )
    return "; ".join([text, *(caution.value for caution in law.cautions)]) + "."


def _rows(law: Law) -> list[dict[str, Any]]:
    series = law.series
    axis: Axis = series.axis
    shared = {
        "axis": axis.name, "x_name": axis.x, "task": series.task, "protocol": series.protocol,
        "train_set": series.train_set, "setting": series.setting, "init": series.init,
    }  # fmt: skip
    form = law.found.form.name if isinstance(law.found, Refusal) and law.found.form else None
    form = law.found.fit.form.name if isinstance(law.found, Estimate) else form
    fit = {**shared, "kind": FIT, "form": form, "note": law.short, "sentence": law.sentence}
    return [*({**shared, **row} for row in _rungs(series)), *({**shared, **row} for row in _curve(law)), fit]


def _rungs(series: Series) -> list[dict[str, Any]]:
    if series.ladder is None:
        return []
    ladder, done = series.ladder, series.runs[series.runs["status"] == "done"]
    names = _names(series, done)
    floor = 1 - done["floor_accuracy"].astype(float).max() if "floor_accuracy" in done else None
    chance = 1 - done["chance_accuracy"].astype(float).max() if "chance_accuracy" in done else None
    found = []
    for r, row in enumerate(ladder.table.itertuples()):
        on = ladder.rung == r
        seeds, bodies = ladder.seed[on].tolist(), ladder.body_seed[on].tolist()
        mean = crossed_interval(ladder.y[on], seeds=seeds, body_seeds=bodies, of="test error")
        found.append({
            "kind": RUNG, "x": float(f"{ladder.x[r, 0]:.12g}"),
            "mean": mean.estimate, "low": mean.low, "high": mean.high,
            "rung": names[r], "sd": row.sd, "num_seeds": row.num_seeds, "num_runs": row.num_runs,
            "num_diverged": row.num_diverged, "num_failed": row.num_failed, "chance": chance, "floor": floor,
            "method": mean.method,
        })  # fmt: skip
    return found


def _names(series: Series, done: pd.DataFrame) -> list[str]:
    """The rungs' values as text, in the ladder's order."""
    axis = series.axis
    first = done.groupby(list(axis.rung))[axis.x].mean().sort_values()
    return [f"{value:,.6g}" if isinstance(value, int | float) else str(value) for value in first.index.tolist()]


def _curve(law: Law) -> list[dict[str, Any]]:
    if not isinstance(law.found, Estimate):
        return []
    ends = law.found.fit.ladder.x[:, 0]
    x = np.geomspace(ends.min(), ends.max(), _NUM_CURVE)
    y = law.found.fit.predict(x)
    low, high = law.found.draws.band(x)
    points = zip(x.tolist(), y.tolist(), low.tolist(), high.tolist(), strict=True)
    return [{"kind": CURVE, "x": at, "mean": mean, "low": least, "high": most} for at, mean, least, most in points]
