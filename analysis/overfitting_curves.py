"""Learning curves of the fewest and the most training examples, with the step at which training should have ended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style

_PANEL = ["train_set", "setting", "examples"]
_DASHES = {"valid": "solid", "train": "dot"}


def draw(rows: pd.DataFrame, *, columns: int = 2) -> go.Figure:
    """A panel per train set and number of examples: training dotted, validation solid, a large mark where it is best.

    Args:
        rows: rows of `overfitting.learning` of one task.
        columns: most panels beside each other.
    """
    assert rows["task"].nunique() == 1, "one figure per task"
    inits, train_sets = load.order("init", rows["init"]), load.order("train_set", rows["train_set"])
    groups = sorted(rows.groupby(_PANEL), key=lambda item: (train_sets.index(item[0][0]), *item[0][1:]))
    titles = [_title(key) for key, _ in groups]
    shape = panels.grid(
        titles, columns=columns, panel_height=230, x_title="gradient steps", y_title="accuracy",
        num_entries=len(inits) + 3,
    )  # fmt: skip
    looks = style.looks(inits)
    levels = rows[["accuracy", "chance", "floor"]]
    low, high = float(levels.min().min()), float(levels.max().max())
    margin = 0.06 * max(high - low, 0.05)
    traces: list[dict[str, Any]] = []
    for cell, (_, here) in zip(shape.cells, groups, strict=True):
        panel = shape.figure.get_subplot(*cell)
        panel.yaxis.update(range=[low - margin, high + margin], tickformat=".0%", nticks=5)
        panel.xaxis.update(rangemode="tozero", nticks=5)
        drawn = panels.reference_lines(here, [0, here["step"].max()])
        for init in inits:
            drawn += _traces(here[here["init"] == init], looks[init], style.label(init))
        traces += [{**trace, **shape.axes(cell)} for trace in drawn]
    keys = [_key("validation split", "solid"), _key("training batches", "dot"), _mark_key()]
    shape.figure.add_traces(panels.named_once([*traces, *keys]))
    return shape.figure


def _title(key: tuple[Any, ...]) -> str:
    train_set, setting, examples = key
    parts = (style.train_set_text(train_set), setting, f"{int(examples):,} examples")
    return " · ".join(part for part in parts if part)


def _traces(mine: pd.DataFrame, look: style.Look, name: str) -> list[dict[str, Any]]:
    traces = []
    for split, dash in _DASHES.items():
        curve = mine[mine["split"] == split].sort_values("step")
        if curve.empty:
            continue
        traces.append({
            "type": "scatter", "x": curve["step"].tolist(), "y": curve["accuracy"].tolist(), "mode": "lines",
            "line": {"color": look.colour, "dash": dash, "width": 2.0}, "name": name, "legendgroup": name,
            "customdata": curve["num_seeds"].tolist(),
            "hovertemplate": f"{name}, {split}, step %{{x}}: %{{y:.1%}}, mean of %{{customdata}} seeds<extra></extra>",
        })  # fmt: skip
        if split == "valid":
            traces.append(_selected(curve, look, name))
    return traces


def _selected(curve: pd.DataFrame, look: style.Look, name: str) -> dict[str, Any]:
    step = float(curve["selected_step"].iloc[0])
    height = float(np.interp(step, curve["step"].astype(float), curve["accuracy"].astype(float)))
    return {
        "type": "scatter", "x": [step], "y": [height], "mode": "markers", "name": name, "legendgroup": name,
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 12, "line": {"width": 1.5, "color": "white"}},
        "showlegend": False, "hovertemplate": f"{name}: best validation accuracy at step %{{x:.0f}}<extra></extra>",
    }  # fmt: skip


def _key(name: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter", "x": [None], "y": [None], "mode": "lines", "name": name, "legendgroup": name,
        "line": {"color": style.NEUTRAL, "dash": dash, "width": 2}, "legendrank": panels.LAST_RANK,
    }  # fmt: skip


def _mark_key() -> dict[str, Any]:
    return {
        "type": "scatter", "x": [None], "y": [None], "mode": "markers", "name": "early stop (mean)",
        "legendgroup": "stop", "marker": {"color": style.NEUTRAL, "size": 11}, "legendrank": panels.LAST_RANK,
    }  # fmt: skip
