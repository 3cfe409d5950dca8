"""Tables of the section on time and fit, as HTML; empty text where there is nothing to tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import load, page, speed
from analysis.page import Tags
from analysis.style import percent, points, train_set_text

_UNITS = {"step": "{:,.0f}", "wall_seconds": "{:,.3g}", "train_flops": "{:.2e}"}


def times_table(clocks: Mapping[str, pd.DataFrame], setting: str, times: pd.DataFrame) -> str:
    """Steps, seconds and operations to convergence, by cell.

    Args:
        clocks: by clock, rows of `speed.by_variant` with the columns of `load.CELL` and setting.
        setting: the one that is told.
        times: rows of `speed.convergence` with their setting.
    """
    cell = list(load.CELL)
    own = {clock: table[table["setting"] == setting].set_index(cell) for clock, table in clocks.items()}
    standings = times[times["setting"] == setting].groupby(cell)["standing"].value_counts()
    rows, tags = [], []
    for row in own["step"].reset_index().itertuples():
        key = (row.task, row.train_set, row.init)
        told = [_time_text(own[clock].loc[key], form) for clock, form in _UNITS.items()]
        others = standings.loc[key].drop(speed.CONVERGED, errors="ignore")
        lacking = ", ".join(f"{num} {name}" for name, num in others.items()) or None
        reached = f"{row.num_reached} of {row.num_runs}"
        rows.append([row.task, train_set_text(str(row.train_set)), row.init, *told, reached, lacking])
        tags.append(Tags(task=str(row.task)))
    columns = ["task", "train set", "init", "steps", "seconds of updates", "FLOP", "converged", "the others"]
    caption = "To convergence: geometric mean [95 % t interval over seeds]; > is a lower bound"
    return page.table(rows, columns=columns, caption=caption, num_keys=3, tags=tags) if rows else ""


def _time_text(cell: Any, form: str) -> str | None:
    if pd.isna(cell["estimate"]):
        return None if pd.isna(cell["at_least"]) else f"> {form.format(cell['at_least'])}"
    ends = "" if pd.isna(cell["low"]) else f" [{form.format(cell['low'])}, {form.format(cell['high'])}]"
    return form.format(cell["estimate"]) + ends


def ratios_table(ratios: pd.DataFrame) -> str:
    """Speed-ups over random bodies: rows of `speed_ups.speed_ups`."""
    told = ratios[ratios["ratio"].notna()]
    rows = [
        [f"{row.own} over random", row.task, train_set_text(row.train_set), row.to, _ratio_text(row), row.num_seeds]
        for row in told.itertuples()
    ]
    columns = ["speed-up", "task", "train set", "to", "times as soon [95 % interval]", "seeds"]
    caption = "Steps to convergence of random bodies over those of pretrained ones, paired by seed"
    tags = [Tags(task=str(task)) for task in told["task"]]
    return page.table(rows, columns=columns, caption=caption, num_keys=3, tags=tags) if rows else ""


def _ratio_text(row: Any) -> str:
    sign = "> " if row.is_at_least else "< " if row.is_at_most else ""
    ends = [f"{end:.2g}" if pd.notna(end) else "?" for end in (row.low, row.high)]
    return f"{sign}{row.ratio:.2g}" + ("" if ends == ["?", "?"] else f" [{ends[0]}, {ends[1]}]")


def gaps_table(fits: pd.DataFrame) -> str:
    """Training against test accuracy: rows of `gaps.gaps`."""
    rows = [
        [
            row.task,
            train_set_text(row.train_set),
            row.init,
            percent(row.train_accuracy),
            percent(row.test_accuracy),
            points(row.gap) if pd.isna(row.low) else f"{points(row.gap)} [{points(row.low)}, {points(row.high)}]",
            row.num_seeds,
        ]
        for row in fits.itertuples()
    ]
    columns = ["task", "train set", "init", "train", "test", "gap in points [95 % interval]", "seeds"]
    caption = "Accuracy on the training and on the test split at the selected step, without dropout"
    tags = [Tags(task=str(task)) for task in fits["task"]]
    table = page.table(rows, columns=columns, caption=caption, num_keys=3, tags=tags)
    return page.fold("Does it overfit? Training against test accuracy", table) if rows else ""


def cached_table(cached: pd.DataFrame) -> str:
    """Cached against online epochs: rows of `epochs.cached_speed_ups`."""
    rows = [
        [
            row.task,
            f"{row.body} {row.size or ''}",
            row.device,
            train_set_text(row.train_set),
            f"{row.ratio:,.3g}" if pd.isna(row.low) else f"{row.ratio:,.3g} [{row.low:,.3g}, {row.high:,.3g}]",
            f"{row.cached_rate:,.3g}",
            f"{row.online_rate:,.3g}",
            row.num_seeds,
        ]
        for row in cached.itertuples()
    ]
    columns = ["task", "body", "device", "against", "times as fast [95 % interval]"]
    columns += ["cached, examples/s", "online, examples/s", "seeds"]
    caption = "An epoch of the output layer on cached features against one with the body run at every step"
    tags = [Tags(task=str(task)) for task in cached["task"]]
    table = page.table(rows, columns=columns, caption=caption, num_keys=4, tags=tags)
    return page.heading("Cached features") + table if rows else ""


def counts_table(counts: pd.DataFrame) -> str:
    """What FPT trains: rows of `trained_parameters.counts`."""
    kinds = counts.drop_duplicates(["task", "size", "num_layers", "num_params_trained"])
    rows = [
        [
            row.task,
            row.size,
            "all" if pd.isna(row.num_layers) else f"{row.num_layers:.0f}",
            f"{row.num_params_total:,.0f}",
            f"{row.num_params_trained:,.0f}",
            None if pd.isna(row.paper_count) else f"{row.paper_count:,.0f}",
        ]
        for row in kinds.itertuples()
    ]
    columns = ["task", "body of GPT-2", "layers", "parameters", "trained by FPT", "by the paper's formula"]
    caption = "Parameters without embeddings, and those that FPT trains"
    tags = [Tags(task=str(task)) for task in kinds["task"]]
    table = page.table(rows, columns=columns, caption=caption, num_keys=3, tags=tags)
    return page.fold("How many parameters are trained", table) if rows else ""
