"""The sections for any ledger: accuracy, paired differences and learning curves, setting by setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis import accuracy, comparisons, curves, load, page, settings
from analysis.page import Section
from analysis.pictures import Picture, forms
from analysis.sections import Part, Tables, by_setting
from analysis.style import percent, points, train_set_text
from analysis.summary import count

MOST_TRAIN_SETS, MOST_CURVES = 4, 3
"""Train sets in a figure, and in one of learning curves, which has a panel for each; tables and CSV have all."""
_MOST_LISTED = 200


def test_accuracy(data: Tables) -> Part:
    """Accuracy by task, init and train set: figure and table."""

    def picture(setting: str, name: str) -> Picture | None:
        cells = _of(data.cells, setting)
        shown = _drawn(cells, MOST_TRAIN_SETS)
        caption = (
            "Test accuracy at the step of best validation accuracy. Large mark: mean over seeds; bar: "
            f"{accuracy.INTERVAL_TEXT}, which may reach beyond 0 and 100 %; small marks: single seeds; n = "
            f"{_range(shown['num_seeds'])}. A mark without a bar is one seed. Diverged, failed and missing runs are "
            f"counted in the figure and take no part in means.{_left_out(cells, shown)}"
        )
        most = 4 if shown["train_set"].nunique() <= MOST_CURVES else 3
        drawn = forms(lambda columns: accuracy.draw(shown, columns=columns), most)
        return Picture(name, caption, _alt("test accuracy", shown), cells.drop(columns="setting"), drawn)

    def numbers(setting: str) -> str:
        cells = _of(data.cells, setting)
        inits = load.order("init", cells["init"])
        groups = [(key, group) for key, group in cells.groupby(["task", "train_set"], sort=False) if _is_part(group)]
        texts = {(row["task"], row["train_set"], row["init"]): _cell_text(row) for row in cells.to_dict("records")}
        rows = [
            [task, train_set_text(name), *(texts[task, name, init] for init in inits), _level(group, "floor")]
            for (task, name), group in groups
        ]
        return page.table(
            rows,
            columns=["task", "train set", *inits, "best trivial predictor"],
            caption="Test accuracy: mean over seeds [95 % t interval] (number of seeds)",
            num_keys=2,
            tags=[{"task": str(task)} for (task, _), _ in groups],
        )

    part = _section(data, "accuracy", "Accuracy by task, initialisation and train set", picture, numbers)
    rest = [name for name in settings.ranked(data.frames.compared.runs) if name not in data.settings]
    if not rest:
        return part
    file = "accuracy-all.csv"
    csv = data.cells.drop(columns="seed_accuracies").to_csv(index=False, lineterminator="\n")
    body = part.section.body + page.fold("The settings that are not drawn", _listing(data, rest))
    body += page.paragraph(f"Every cell of every setting stands in figures/{file} beside this page.")
    return Part(Section("accuracy", part.section.title, body), part.pictures, {file: csv})


def differences(data: Tables) -> Part:
    """Paired differences between inits: forest plot and table."""

    def picture(setting: str, name: str) -> Picture | None:
        rows = _of(data.comparisons, setting)
        shown = _drawn(rows, MOST_TRAIN_SETS)
        if shown["difference"].isna().all():
            return None
        verdicts = "; ".join(f"{name}: {text}" for name, text in comparisons.VERDICTS.items())
        caption = (
            f"Difference in test accuracy between two initialisations. Mark: mean over seeds; bar: "
            f"{comparisons.INTERVAL_TEXT}; n = {_range(shown['num_seeds'])}. Coloured as the initialisation that is "
            f"ahead where decided, grey where not. {verdicts}.{_left_out(rows, shown)}"
        )
        drawn = forms(lambda columns: comparisons.draw(shown, columns=columns), 2)
        return Picture(name, caption, _alt("paired differences", shown), rows.drop(columns="setting"), drawn)

    def numbers(setting: str) -> str:
        rows = _of(data.comparisons, setting)
        if rows.empty:
            return page.paragraph("No two initialisations to compare.")
        body = [
            [
                f"{row.a} − {row.b}",
                row.task,
                train_set_text(row.train_set),
                _difference_text(row),
                _p(row.p_value),
                _p(row.p_holm),
                row.num_seeds,
                row.verdict,
            ]
            for row in rows.itertuples()
        ]
        columns = ["difference", "task", "train set", "points [95 % interval]", "p", "p (Holm)", "seeds", "verdict"]
        caption = "Paired differences of test accuracy"
        tags: list[page.Tags] = [{"task": task} for task in rows["task"]]
        return page.table(body, columns=columns, caption=caption, num_keys=3, tags=tags)

    return _section(data, "comparisons", "Which initialisation is better", picture, numbers)


def learning_curves(data: Tables) -> Part:
    """Validation accuracy against steps."""

    def picture(setting: str, name: str) -> Picture | None:
        rows = _of(data.curves, setting)
        if rows.empty:
            return None
        shown = curves.thinned(_drawn(rows, MOST_CURVES))
        caption = (
            "Validation accuracy while training. Line: mean over done seeds; band: "
            f"{curves.BAND_TEXT} (a range, not a confidence interval); n = {_range(shown['num_seeds'])}. Thin lines "
            f"with a cross: runs that diverged. The vertical axis differs between tasks.{_left_out(rows, shown)}"
        )
        drawn = forms(lambda columns: curves.draw(shown, columns=columns), 3)
        alt = _alt("validation accuracy by step", shown)
        return Picture(name, caption, alt, rows.drop(columns="setting"), drawn)

    return _section(data, "curves", "Learning curves", picture, lambda _: "")


def _section(
    data: Tables,
    key: str,
    title: str,
    picture: Callable[[str, str], Picture | None],
    numbers: Callable[[str], str],
) -> Part:
    """A section with a figure and a table for every drawn setting."""
    pictures: list[Picture] = []

    def content(setting: str) -> str:
        number = data.settings.index(setting) + 1
        drawn = picture(setting, f"{key}-{number}" if number > 1 else key)
        table = numbers(setting)
        if drawn is None:
            return table
        pictures.append(drawn)
        return page.figure(drawn, command=data.command) + (page.fold("The numbers as a table", table) if table else "")

    return Part(Section(key, title, by_setting(data, content)), tuple(pictures))


def _listing(data: Tables, names: list[str]) -> str:
    """A table of settings with how much there is of each."""
    grouped = data.frames.compared.runs.groupby("setting")
    num = grouped.agg(runs=("run_id", "size"), tasks=("task", "nunique"), inits=("init", "nunique"))
    train_sets = grouped["train_set"].nunique()
    rows = [[name, *num.loc[name, ["tasks", "inits"]], train_sets[name], num.at[name, "runs"]] for name in names]
    caption = f"Settings that are not drawn: {min(len(names), _MOST_LISTED)} of {len(names)}"
    columns = ["setting", "tasks", "inits", "train sets", "runs"]
    return page.table(rows[:_MOST_LISTED], columns=columns, caption=caption)


def _drawn(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows of the train sets that a figure has room for."""
    return rows[rows["train_set"].isin(load.order("train_set", rows["train_set"])[:most])]


def _left_out(rows: pd.DataFrame, shown: pd.DataFrame) -> str:
    hidden = rows["train_set"].nunique() - shown["train_set"].nunique()
    return f" {count(hidden, 'further train set')} in the CSV." if hidden else ""


def _of(table: pd.DataFrame, setting: str) -> pd.DataFrame:
    return table[table["setting"] == setting]


def _alt(what: str, table: pd.DataFrame) -> str:
    tasks = ", ".join(load.order("task", table["task"]))
    return f"Chart of {what} for {tasks}; the numbers are in the table and the CSV below it."


def _range(numbers: pd.Series) -> str:
    counted = numbers[numbers > 0]
    if counted.empty:
        return "0"
    low, high = int(counted.min()), int(counted.max())
    return f"{low} seeds" if low == high else f"{low} to {high} seeds"


def _is_part(group: pd.DataFrame) -> bool:
    """Whether anybody asked for any of these cells."""
    return bool(group[["num_done", "num_diverged", "num_failed", "num_missing"]].to_numpy().any())


def _cell_text(cell: Mapping[str, Any]) -> str:
    lines = []
    if pd.notna(cell["low"]):
        shown = f"{percent(cell['mean'])} [{points(cell['low'])}, {points(cell['high'])}]"
        lines.append(f"{shown} ({cell['num_seeds']})")
    elif pd.notna(cell["mean"]):
        lines.append(f"{percent(cell['mean'])}, one seed: no interval")
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
