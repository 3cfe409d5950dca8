"""The sections that show results: a function from the tables to a part of the page, with its pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analysis import accuracy, body_cards, comparisons, curves, load, page, summary
from analysis.page import Section
from analysis.pictures import Picture
from analysis.style import percent, points

MOST_SETTINGS = 12
"""Settings that are drawn; a ledger of more is for the tables and for a report of a part of it."""
_WIDE, _MEDIUM = 900, 560  # CSS pixels of room from which figures take their wide and their medium form


@dataclass(frozen=True)
class Tables:
    """The tables that several sections share, made once."""

    frames: load.Frames
    cells: pd.DataFrame
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    bodies: body_cards.Bodies
    command: str

    @property
    def settings(self) -> list[str]:
        """Settings that are drawn."""
        return self.frames.settings[:MOST_SETTINGS]


def tables(frames: load.Frames, *, command: str) -> Tables:
    """Estimate everything the report shows."""
    return Tables(
        frames,
        cells=accuracy.table(frames),
        comparisons=comparisons.table(frames),
        curves=curves.table(frames),
        bodies=body_cards.read(frames),
        command=command,
    )


@dataclass(frozen=True)
class Part:
    """A section with the pictures in it."""

    section: Section
    pictures: tuple[Picture, ...] = ()


def answer(data: Tables) -> Part:
    """The question's answer in sentences."""
    body = ""
    for setting in data.settings:
        told = summary.summarise(_of(data.cells, setting), _of(data.comparisons, setting))
        body += _setting_heading(setting) + page.paragraph(told.answer, kind="answer")
        body += page.heading("Decided") + page.bullets(told.decided) if told.decided else ""
        body += page.bullets(told.trivial)
        if told.undecided:
            title = f"Undecided: {summary.count(len(told.undecided), 'comparison')}"
            body += page.fold(title, page.bullets(told.undecided))
    note = (
        "A comparison is decided when its 95 % interval excludes zero. Intervals speak about seeds, not about other "
        "tasks, sizes or learning rates."
    )
    return Part(Section("summary", "What the numbers say", body + page.paragraph(note)))


def test_accuracy(data: Tables) -> Part:
    """Accuracy by task, init and train set: figure and table."""

    def picture(setting: str, name: str) -> Picture | None:
        cells = _of(data.cells, setting)
        caption = (
            "Test accuracy at the step of best validation accuracy. Large mark: mean over seeds; bar: "
            f"{accuracy.INTERVAL_TEXT}, which may reach beyond 0 and 100 %; small marks: single seeds; n = "
            f"{_range(cells['num_seeds'])}. A mark without a bar is one seed. Diverged, failed and missing runs are "
            "counted in the figure and take no part in means."
        )
        wide = ((_WIDE, 4), (_MEDIUM, 2), (0, 1))
        drawn = tuple((width, accuracy.draw(cells, columns=columns)) for width, columns in wide)
        return Picture(name, caption, _alt("test accuracy", cells), cells.drop(columns="setting"), drawn)

    def numbers(setting: str) -> str:
        cells = _of(data.cells, setting)
        inits = load.order("init", cells["init"])
        rows = [
            [task, train_set, *(_cell_text(group, init) for init in inits), _level(group, "floor")]
            for (task, train_set), group in cells.groupby(["task", "train_set"], sort=False)
        ]
        caption = "Test accuracy: mean over seeds [95 % t interval] (number of seeds)"
        return page.table(
            rows, columns=["task", "train set", *inits, "best trivial predictor"], caption=caption, num_keys=2
        )

    return _drawn(data, "accuracy", "Accuracy by task, initialisation and train set", picture, numbers)


def differences(data: Tables) -> Part:
    """Paired differences between inits: forest plot and table."""

    def picture(setting: str, name: str) -> Picture | None:
        rows = _of(data.comparisons, setting)
        if rows["difference"].isna().all():
            return None
        verdicts = "; ".join(f"{name}: {text}" for name, text in comparisons.VERDICTS.items())
        caption = (
            f"Difference in test accuracy between two initialisations. Mark: mean over seeds; bar: "
            f"{comparisons.INTERVAL_TEXT}; n = {_range(rows['num_seeds'])}. Coloured as the initialisation that is "
            f"ahead where decided, grey where not. {verdicts}."
        )
        drawn = ((_WIDE, comparisons.draw(rows, columns=2)), (0, comparisons.draw(rows, columns=1)))
        return Picture(name, caption, _alt("paired differences", rows), rows.drop(columns="setting"), drawn)

    def numbers(setting: str) -> str:
        rows = _of(data.comparisons, setting)
        if rows.empty:
            return page.paragraph("No two initialisations to compare.")
        body = [
            [
                f"{row.a} − {row.b}",
                row.task,
                row.train_set,
                _difference_text(row),
                _p(row.p_value),
                _p(row.p_holm),
                row.num_seeds,
                row.verdict,
            ]
            for row in rows.itertuples()
        ]
        columns = ["difference", "task", "train set", "points [95 % interval]", "p", "p (Holm)", "seeds", "verdict"]
        return page.table(body, columns=columns, caption="Paired differences of test accuracy", num_keys=3)

    return _drawn(data, "comparisons", "Which initialisation is better", picture, numbers)


def learning_curves(data: Tables) -> Part:
    """Validation accuracy against steps."""

    def picture(setting: str, name: str) -> Picture | None:
        rows = _of(data.curves, setting)
        if rows.empty:
            return None
        caption = (
            "Validation accuracy while training. Line: mean over done seeds; band: "
            f"{curves.BAND_TEXT} (a range, not a confidence interval); n = {_range(rows['num_seeds'])}. Thin lines "
            "with a cross: runs that diverged. The vertical axis differs between tasks."
        )
        drawn = tuple(
            (width, curves.draw(rows, columns=columns)) for width, columns in ((_WIDE, 3), (_MEDIUM, 2), (0, 1))
        )
        return Picture(name, caption, _alt("validation accuracy by step", rows), rows.drop(columns="setting"), drawn)

    return _drawn(data, "curves", "Learning curves", picture, lambda _: "")


def _drawn(
    data: Tables,
    key: str,
    title: str,
    picture: Callable[[str, str], Picture | None],
    numbers: Callable[[str], str],
) -> Part:
    """A section with a figure and a table for every setting."""
    body, pictures = "", []
    for i, setting in enumerate(data.settings):
        body += _setting_heading(setting)
        drawn = picture(setting, f"{key}-{i + 1}" if i else key)
        if drawn is not None:
            pictures.append(drawn)
            body += page.figure(drawn, command=data.command)
        table = numbers(setting)
        body += page.fold("The numbers as a table", table) if drawn is not None and table else table
    hidden = len(data.frames.settings) - len(data.settings)
    if hidden:
        body += page.paragraph(f"{summary.count(hidden, 'further setting')} of this ledger not drawn.", kind="notice")
    return Part(Section(key, title, body or page.paragraph("Nothing to draw.")), tuple(pictures))


def _of(table: pd.DataFrame, setting: str) -> pd.DataFrame:
    return table[table["setting"] == setting]


def _setting_heading(setting: str) -> str:
    return page.heading(setting) if setting else ""


def _alt(what: str, table: pd.DataFrame) -> str:
    tasks = ", ".join(load.order("task", table["task"]))
    return f"Chart of {what} for {tasks}; the numbers are in the table and the CSV below it."


def _range(numbers: pd.Series) -> str:
    counted = numbers[numbers > 0]
    if counted.empty:
        return "0"
    low, high = int(counted.min()), int(counted.max())
    return f"{low} seeds" if low == high else f"{low} to {high} seeds"


def _cell_text(group: pd.DataFrame, init: str) -> str:
    cell = next(group[group["init"] == init].itertuples())
    lines = []
    if pd.notna(cell.low):
        lines.append(f"{percent(cell.mean)} [{points(cell.low)}, {points(cell.high)}] ({cell.num_seeds})")
    elif pd.notna(cell.mean):
        lines.append(f"{percent(cell.mean)}, one seed: no interval")
    note = accuracy.gap_text(cell)
    return "\n".join([*lines, note] if note else lines) or "not part of the grid"


def _level(group: pd.DataFrame, column: str) -> str | None:
    level = group[column].max()
    return None if pd.isna(level) else percent(level)


def _difference_text(row: object) -> str | None:
    difference, low, high = (getattr(row, name) for name in ("difference", "low", "high"))
    if pd.isna(difference):
        return None
    return points(difference) if pd.isna(low) else f"{points(difference)} [{points(low)}, {points(high)}]"


def _p(value: float) -> str | None:
    return None if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
