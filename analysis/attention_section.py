"""The section on first-layer attention: maps of trained runs, and beside each the number that says what it shows."""

from __future__ import annotations

import pandas as pd

from analysis import attention, attention_figure, load, page, scope, settings
from analysis.page import Section
from analysis.pictures import Picture
from analysis.sections import Part, Tables
from analysis.style import percent, points, train_set_text
from analysis.summary import count

_WIDE = 640  # CSS pixels of room from which both states stand beside each other
_MOST_ROWS = 100
_MATTER = {
    "bit-xor": "the two bits whose parity a token has to say, its own among them",
    "bit-memory": "the stored string that the query matches, which is put first in every example",
}
_DRAWN = "fpt"
"""Train set whose maps are drawn, as in the paper; where a ledger has none, its first one."""


def attention_maps(data: Tables) -> Part | None:
    """Do trained runs look at the bits that matter? None where a ledger holds no attention."""
    measured = attention.mass(data.frames.attention, data.frames.runs)
    cells = attention.by_cell(measured, data.frames.runs)
    if cells.empty:
        return None
    cells = _ordered(cells, settings.ranked(data.frames.runs))
    drawn = _worth_drawing(cells)
    pictures, body = [], page.paragraph(_explained(cells))
    for number, (_, shown) in enumerate(drawn.groupby("map", sort=False)):
        name = f"attention-{number + 1}" if number else "attention"
        pictures.append(_picture(data, shown, name))
        title = page.heading(_name(shown))
        block = title + page.figure(pictures[-1], command=data.command)
        body += page.tagged(block, **scope.tags_of(shown))
    table = _table(cells)
    body += page.fold("The numbers of every train set and setting", table) + _without(data, measured)
    csv = cells.to_csv(index=False, lineterminator="\n")
    section = Section("attention", "Do they look at the bits that matter?", body)
    return Part(section, tuple(pictures), {"attention-all.csv": csv})


def _explained(cells: pd.DataFrame) -> str:
    tasks = load.order("task", cells["task"])
    matter = "; ".join(f"in {task} {_MATTER[task]}" for task in tasks if task in _MATTER)
    return (
        "Every token that is read spreads 100 % of its attention over the tokens it can see. The number above a map is "
        "how much of that goes to those that matter, which are framed: " + matter + ". Attention of the first layer on "
        "32 fixed examples, mean over heads and examples, without dropout. The table also has the share of the "
        "attention to stored strings alone, without what the tokens that are read give to themselves."
    )


def _ordered(cells: pd.DataFrame, ranked: list[str]) -> pd.DataFrame:
    """Tasks, settings, train sets and inits in the order in which the page has them."""
    orders = {name: load.order(name, cells[name]) for name in ("task", "train_set", "init")} | {"setting": ranked}
    keys = {f"{name}_rank": cells[name].map(order.index) for name, order in orders.items()}
    by = ["task_rank", "setting_rank", "train_set_rank", "init_rank"]
    return cells.assign(**keys).sort_values(by).drop(columns=by).reset_index(drop=True)


def _worth_drawing(cells: pd.DataFrame) -> pd.DataFrame:
    """One map for every task, protocol and scale: of the drawn train set and of the setting with most inits."""
    scale = cells["size"].map(lambda size: scope.scale_of(None if pd.isna(size) else size))
    cells = cells.assign(scale=scale, is_drawn=cells["train_set"] == _DRAWN)
    own = ["task", "protocol", "scale"]
    group = cells.groupby([*own, "setting", "train_set"], sort=False)
    cells = cells.assign(num_inits=group["init"].transform("nunique"), map=group.ngroup())
    first = cells.sort_values(["is_drawn", "num_inits"], ascending=False, kind="stable").drop_duplicates(own)["map"]
    return cells[cells["map"].isin(first)]


def _picture(data: Tables, shown: pd.DataFrame, name: str) -> Picture:
    first = shown.iloc[0]
    is_here = pd.Series(True, index=data.frames.runs.index)
    for column in ("task", "train_set", "setting"):
        is_here &= data.frames.runs[column] == first[column]
    maps = attention.maps(data.frames.attention, data.frames.runs[is_here])
    seeds = f"{shown['num_seeds'].min()} to {shown['num_seeds'].max()}"
    if shown["num_seeds"].nunique() == 1:
        seeds = str(first["num_seeds"])
    caption = (
        f"First-layer attention, mean over runs of n = {seeds} seeds. Rows: tokens that are read; columns: tokens they "
        f"look at; framed: what matters. Above each map the share of attention there; attention that is the same for "
        f"all visible tokens gives {percent(first['uniform'])}."
    )
    alt = f"Heat maps of first-layer attention on {first['task']}; the numbers are in the table and the CSV below it."
    variants = ((_WIDE, attention_figure.draw(maps, shown)), (0, attention_figure.draw(maps, shown, columns=1)))
    return Picture(name, caption, alt, maps.drop(columns="setting"), variants)


def _name(shown: pd.DataFrame) -> str:
    first = shown.iloc[0]
    return " · ".join(part for part in (first["task"], train_set_text(first["train_set"]), first["setting"]) if part)


def _table(cells: pd.DataFrame) -> str:
    shown = cells.head(_MOST_ROWS)
    rows = [
        [
            row.task,
            train_set_text(row.train_set),
            row.init,
            row.setting or None,
            _with_interval(points(row.mass_on_relevant), row.low, row.high),
            points(row.untrained),
            points(row.uniform),
            _with_interval(points(row.gain), row.gain_low, row.gain_high),
            points(row.best_head),
            f"{points(row.among_stored)} ({points(row.untrained_among_stored)}, {points(row.uniform_among_stored)})",
            row.num_seeds,
        ]
        for row in shown.itertuples()
    ]
    columns = [
        *("task", "train set", "init", "setting", "to what matters [95 % interval]", "before training", "if even"),
        *("gain [95 % interval]", "best head", "of that to stored strings (before, if even)", "seeds"),
    ]
    caption = "Percent of first-layer attention to the tokens that matter: mean over seeds [95 % t interval]"
    tags = [scope.tags_of(cells.iloc[[i]]) for i in range(len(shown))]
    table = page.table(rows, columns=columns, caption=caption, num_keys=4, tags=tags)
    hidden = len(cells) - len(shown)
    rest = f"{count(hidden, 'further line')} in figures/attention-all.csv." if hidden else ""
    return table + (page.paragraph(rest) if rest else "")


def _with_interval(estimate: str, low: float, high: float) -> str:
    return estimate if pd.isna(low) else f"{estimate} [{points(low)}, {points(high)}]"


def _without(data: Tables, measured: pd.DataFrame) -> str:
    """How many runs could have been asked and were not."""
    runs = data.frames.runs
    done = runs[(runs["status"] == "done") & runs["task"].isin(measured["task"])]
    num = int((~done["run_id"].isin(measured["run_id"])).sum())
    why = "their bodies do not attend (lstm), or they were trained before attention was recorded"
    return page.paragraph(f"Of {count(num, 'done run')} of these tasks there is no attention: {why}.") if num else ""
