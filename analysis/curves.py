"""Learning curves: validation accuracy against gradient steps, by task and train set, one colour per init."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style

MOST_POINTS = 60
"""Points of a curve that is drawn: a panel is some 300 pixels wide."""
BAND_TEXT = "lowest to highest seed at that step"
_COLUMNS = ["setting", *load.CELL, "status", "seed", "step", "accuracy", "low", "high", "num_seeds", "chance", "floor"]


def table(frames: load.Frames) -> pd.DataFrame:
    """Validation accuracy (fractions) by step.

    Rows with status "done" are means over the cell's done runs that were evaluated at the step, with the range over
    them as low and high and their number as num_seeds (seed is null). Rows with status "diverged" are single runs up
    to where they diverged: they stand apart, so that a mean never changes because one of its runs ended.
    """
    names = ["run_id", "setting", *load.CELL, "status", "seed", "chance_accuracy", "floor_accuracy"]
    runs = frames.runs[frames.runs["status"] != "failed"][names]
    rows = frames.curves[frames.curves["split"] == "valid"][["run_id", "step", "accuracy"]].dropna()
    joined = rows.merge(runs, on="run_id").rename(columns={"chance_accuracy": "chance", "floor_accuracy": "floor"})
    key = ["setting", *load.CELL]
    done = joined[joined["status"] == "done"].groupby([*key, "step"], as_index=False, sort=True)
    means = done.agg(
        accuracy_mean=("accuracy", "mean"),
        low=("accuracy", "min"),
        high=("accuracy", "max"),
        num_seeds=("run_id", "nunique"),
        chance=("chance", "max"),
        floor=("floor", "max"),
    ).rename(columns={"accuracy_mean": "accuracy"})
    lone = joined[joined["status"] == "diverged"].sort_values([*key, "seed", "step"])
    tables = [means.assign(status="done", seed=None), lone.assign(low=None, high=None, num_seeds=1)]
    return pd.concat([part.astype(object) for part in tables if len(part)] or tables, ignore_index=True)[_COLUMNS]


def thinned(curves: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """Rows of `table` with about `most` evenly spaced points of each curve at most, its last one among them."""
    key = [*load.CELL, "status", "seed"]
    grouped = curves.sort_values("step", kind="stable").groupby(key, dropna=False, sort=False)["step"]
    place, number = grouped.cumcount(), grouped.transform("size").astype(int)
    is_kept = (number <= most) | (place == number - 1) | (place * most // number != (place - 1) * most // number)
    return curves[is_kept.reindex(curves.index)]


def draw(curves: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """A panel per task and train set: mean over seeds, range over seeds as a band, diverged runs as thin lines.

    Args:
        curves: rows of `table` of one setting.
        columns: most panels beside each other.
    """
    assert curves["setting"].nunique() == 1, "one figure per setting"
    tasks, train_sets, inits = (load.order(name, curves[name]) for name in load.CELL)
    present = set(curves[["task", "train_set"]].itertuples(index=False, name=None))
    pairs = [(task, train_set) for task in tasks for train_set in train_sets if (task, train_set) in present]
    shape = panels.grid(
        [f"{task} · {style.train_set_text(train_set)}" for task, train_set in pairs],
        columns=min(columns, len(train_sets)),
        panel_height=210,
        x_title="gradient steps",
        y_title="validation accuracy",
        num_entries=len(inits) + 3,
    )
    looks = style.looks(inits)
    groups = dict(iter(curves.groupby(["task", "train_set"], sort=False)))
    spans = {task: _span(curves[curves["task"] == task]) for task in tasks}
    traces = []
    for cell, (task, train_set) in zip(shape.cells, pairs, strict=True):
        here, axes = groups[task, train_set], shape.axes(cell)
        drawn = (*panels.reference_lines(here, [0, here["step"].max()]), *_traces(here, inits, looks))
        traces += [{**trace, **axes} for trace in drawn]
        panel = shape.figure.get_subplot(*cell)
        panels.adjust(panel.yaxis, range=spans[task], tickformat=".0%", nticks=5)
        panels.adjust(panel.xaxis, rangemode="tozero", nticks=5)
    shape.figure.add_traces(panels.named_once(traces))
    return shape.figure


def _span(rows: pd.DataFrame) -> list[float]:
    """One range for all panels of a task, chance and floor included."""
    values = rows[["accuracy", "low", "high", "chance", "floor"]].astype(float)
    low, high = float(values.min().min()), float(values.max().max())
    margin = 0.06 * max(high - low, 0.05)
    return [low - margin, high + margin]


def _traces(curves: pd.DataFrame, inits: list[str], looks: dict[str, style.Look]) -> list[dict[str, Any]]:
    traces = []
    groups = dict(iter(curves.groupby("init", sort=False)))
    for init in (init for init in inits if init in groups):
        mine, look, name = groups[init], looks[init], style.label(init)
        mean = mine[mine["status"] == "done"].sort_values("step")
        if len(mean):
            traces += [_band(mean, look, name), _mean_line(mean, look, name)]
        lone = mine[mine["status"] == "diverged"]
        traces += [_diverged(run, look, name) for _, run in lone.groupby("seed", sort=True)]
    return traces


def _band(mean: pd.DataFrame, look: style.Look, name: str) -> dict[str, Any]:
    steps, low, high = mean["step"].tolist(), mean["low"].tolist(), mean["high"].tolist()
    return {
        "type": "scatter",
        "x": steps + steps[::-1],
        "y": high + low[::-1],
        "fill": "toself",
        "fillcolor": style.transparent(look.colour, 0.18),
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "name": name,
        "legendgroup": name,
        "showlegend": False,
    }


def _mean_line(mean: pd.DataFrame, look: style.Look, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": mean["step"].tolist(),
        "y": mean["accuracy"].tolist(),
        "mode": "lines",
        "line": {"color": look.colour, "dash": look.dash, "width": 2.2},
        "customdata": mean["num_seeds"].tolist(),
        "name": name,
        "legendgroup": name,
        "hovertemplate": f"{name}, step %{{x}}: %{{y:.1%}}, mean of %{{customdata}} seeds<extra></extra>",
    }


def _diverged(run: pd.DataFrame, look: style.Look, name: str) -> dict[str, Any]:
    seed = run["seed"].iloc[0]
    return {
        "type": "scatter",
        "x": run["step"].tolist(),
        "y": run["accuracy"].tolist(),
        "mode": "lines+markers",
        "line": {"color": look.colour, "width": 1},
        "marker": {"symbol": "x", "size": [0] * (len(run) - 1) + [9], "color": look.colour, "opacity": 1},
        "name": "diverged run (× where it ended)",
        "legendgroup": "diverged",
        "legendrank": panels.LAST_RANK,
        "hovertemplate": f"{name}, seed {seed}, diverged; step %{{x}}: %{{y:.1%}}<extra></extra>",
    }
