"""The section on time and fit: steps to convergence, speed-ups, train/test gaps, cached epochs, trained parameters."""

from __future__ import annotations

import pandas as pd

from analysis import (
    epochs,
    gaps,
    load,
    page,
    speed,
    speed_figure,
    speed_tables,
    speed_ups,
    trained_parameters,
)
from analysis.page import Section
from analysis.pictures import Picture, forms
from analysis.sections import OPEN_SETTINGS, Part, Tables, by_setting

_MOST_TRAIN_SETS = 4  # in a figure; the table has all
_CELL = [*load.CELL, "setting"]
_OWN = ("language", "bit-memory", "vision")
"""Inits whose speed-up over random bodies is told."""


def how_soon(data: Tables) -> Part | None:
    """How soon runs converge and whether they overfit; None where nothing can be told."""
    compared = data.frames.compared.runs
    runs = compared[compared["setting"].isin(data.settings)]
    parts = [part for _, part in runs.groupby("tuning", sort=False)]  # a run stands at most once in each
    curves = data.frames.curves
    arrived = [speed.convergence(part, curves).merge(part[["run_id", "setting"]], on="run_id") for part in parts]
    times = pd.concat(arrived, ignore_index=True)
    clocks = {clock: _in_order(speed.by_variant(times, clock, by=_CELL)) for clock in speed.CLOCKS}
    speed_ups_of = pd.concat([_speed_ups(part, curves) for part in parts], ignore_index=True)
    ratios, fits = _in_order(speed_ups_of), _in_order(gaps.gaps(runs, by=_CELL))
    cached = epochs.cached_speed_ups(data.frames.runs, curves)
    counts = trained_parameters.counts(data.frames.runs)
    if all(table.empty for table in (clocks["step"], fits, cached)):
        return None
    pictures: list[Picture] = []

    def content(setting: str) -> str:
        here = clocks["step"][clocks["step"]["setting"] == setting]
        body = ""
        table = speed_tables.times_table(clocks, setting, times)
        number = data.settings.index(setting) + 1
        if len(here) > 1 and number <= OPEN_SETTINGS:  # of the others the table tells
            pictures.append(_picture(here, f"convergence-{number}" if number > 1 else "convergence"))
            body += page.figure(pictures[-1], command=data.command)
            table = page.fold("Steps, seconds and operations as a table", table)
        body += table
        body += speed_tables.ratios_table(ratios[ratios["setting"] == setting])
        return body + speed_tables.gaps_table(fits[fits["setting"] == setting])

    body = (
        page.paragraph(_explained(times))
        + by_setting(data, content)
        + speed_tables.cached_table(cached)
        + speed_tables.counts_table(counts)
    )
    return Part(Section("speed", "How soon, and does it overfit", body), tuple(pictures))


def _explained(times: pd.DataFrame) -> str:
    few = int((times["standing"] == speed.FEW).sum())
    note = f" Of {few} runs it cannot be told: {speed.STANDINGS[speed.FEW]}." if few else ""
    return (
        "A run has converged where its validation accuracy has reached, and keeps, 95 % of what it learns in all: of "
        "the way from chance to its plateau, the mean of the last fifth of its evaluations. Runs that still rise at "
        f"their end, or have learned nothing, are counted as later than that, never left out.{note}"
    )


def _in_order(cells: pd.DataFrame) -> pd.DataFrame:
    """Rows by task, train set and init, as far as they have these columns."""
    names = [name for name in load.CELL if name in cells]
    ranks = {f"{name}_rank": cells[name].map(load.order(name, cells[name]).index) for name in names}
    return cells.assign(**ranks).sort_values(list(ranks), kind="stable").drop(columns=list(ranks))


def _speed_ups(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    by = ["task", "train_set", "setting"]
    inits = [init for init in _OWN if (runs["init"] == init).any()]
    found = [
        speed_ups.speed_ups(runs, curves, own=init, to=to, by=by)
        for init in inits
        for to in ("own plateau", "same accuracy")
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*by, "own", "to", "ratio"])


def _picture(times: pd.DataFrame, name: str) -> Picture:
    shown = times[times["train_set"].isin(load.order("train_set", times["train_set"])[:_MOST_TRAIN_SETS])]
    caption = (
        "Gradient steps to convergence. Mark: geometric mean over runs; bar: 95 % t interval over seeds, on the "
        f"logarithm; n = {_range(times['num_runs'])} runs. Open triangle: some of the runs have not converged, for all "
        "one can tell; the mark is a lower bound. Convergence is known to the distance of two evaluations, at most "
        f"{times['resolution'].max():,.0f} steps."
    )
    alt = (
        f"Chart of steps to convergence for {', '.join(load.order('task', times['task']))}; the table has the numbers."
    )
    drawn = forms(lambda columns: speed_figure.draw(shown, columns=columns), 3)
    return Picture(name, caption, alt, times.drop(columns="setting"), drawn)


def _range(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return str(low) if low == high else f"{low} to {high}"
