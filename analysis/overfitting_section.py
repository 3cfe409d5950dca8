"""The section on overfitting: the gap between training and test accuracy, and learning curves with the early stop."""

from __future__ import annotations

import pandas as pd

from analysis import overfitting, overfitting_curves, page, scope
from analysis.accuracy import INTERVAL_TEXT
from analysis.page import Section
from analysis.pictures import Picture, forms
from analysis.sections import Part, Tables
from analysis.style import points

_LEAD = (
    "Training minus test accuracy, both over whole splits at the step of best validation accuracy: the gap of the "
    "model that is reported, after early stopping. Where training examples are endless there is nothing to overfit, "
    "and the gap shows sampling noise alone."
)


def overfits(data: Tables) -> Part | None:
    """Gaps along the ladders of size, examples and trained parameters; None without one."""
    gaps = overfitting.table(data.ladders)
    if gaps.empty:
        return None
    curves, body, pictures = overfitting.learning(data.frames, data.ladders), page.paragraph(_LEAD), []
    for task in dict.fromkeys(gaps["task"]):
        own, mine = gaps[gaps["task"] == task], curves[curves["task"] == task]
        drawn = [_gap(str(task), own), *([_learning(str(task), mine)] if len(mine) else [])]
        pictures += drawn
        content = page.heading(str(task)) + "".join(page.figure(picture, command=data.command) for picture in drawn)
        about = scope.tags_of(pd.concat([one.runs for one in data.ladders if one.task == task]))
        body += page.tagged(content + page.fold("The gaps as a table", _table(own)), **about)
    return Part(Section("overfitting", "Overfitting", body), tuple(pictures))


def _gap(task: str, own: pd.DataFrame) -> Picture:
    caption = (
        f"{task}: training minus test accuracy in percentage points. Mark: mean over seeds; bar: {INTERVAL_TEXT}; n = "
        f"{_seeds(own)} at every rung. Lines join the rungs of one initialisation and are no law. Open marks: the "
        "whole body trained."
    )
    alt = f"Chart of the gap between training and test accuracy for {task}; the numbers are in the table and the CSV."
    drawn = forms(lambda columns: overfitting.draw(own, columns=columns), 3)
    return Picture(f"overfitting-{task}", caption, alt, own, drawn)


def _learning(task: str, curves: pd.DataFrame) -> Picture:
    caption = (
        f"{task}: accuracy while training, with the fewest and the most examples of its data ladder. Solid: validation "
        "split; dotted: training batches since the evaluation before; lines are means over seeds, n = "
        f"{_seeds(curves)}. Large mark: mean step of best validation accuracy, where each run's results are taken."
    )
    alt = f"Chart of training and validation accuracy by step for {task}; the numbers are in the CSV."
    drawn = forms(lambda columns: overfitting_curves.draw(curves, columns=columns), 2)
    return Picture(f"overfitting-curves-{task}", caption, alt, curves, drawn)


def _table(own: pd.DataFrame) -> str:
    rows = [
        [
            row.axis, row.train_set or row.rung, row.init, row.rung, f"{100 * row.train:.1f}", f"{100 * row.test:.1f}",
            points(row.gap) if pd.isna(row.low) else f"{points(row.gap)} [{points(row.low)}, {points(row.high)}]",
            f"{row.selected_step:,.0f} of {row.num_steps:,.0f}", int(row.num_seeds),
        ]
        for row in own.itertuples()
    ]  # fmt: skip
    columns = ["ladder", "train set", "init", "rung", "train (%)", "test (%)", "gap (points) [95 % interval]",
               "early stop (mean step)", "seeds"]  # fmt: skip
    return page.table(rows, columns=columns, caption="Training and test accuracy by rung", num_keys=4)


def _seeds(rows: pd.DataFrame) -> str:
    low, high = int(rows["num_seeds"].min()), int(rows["num_seeds"].max())
    return f"{low} seeds" if low == high else f"{low} to {high} seeds"
