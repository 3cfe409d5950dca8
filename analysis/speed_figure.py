"""Steps to convergence: a panel per task, a line per train set, a mark per init with its interval or lower bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style

_SPREAD = 0.6  # of a line, over which the inits stand apart


def draw(times: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """Where each variant converges.

    Args:
        times: rows of `speed.by_variant` with the columns of `load.CELL`, of one setting, on the clock "step".
        columns: most panels beside each other.
    """
    tasks, train_sets, inits = (load.order(name, times[name]) for name in load.CELL)
    times = times.assign(shown=times["estimate"].fillna(times["at_least"])).dropna(subset=["shown"])
    shape = panels.grid(
        tasks,
        columns=columns,
        panel_height=max(110, 20 * len(inits) * len(train_sets) + 30),
        x_title="gradient steps to convergence",
        y_title="",
        num_entries=len(inits) + 1,
    )
    looks = style.looks(inits)
    traces: list[dict[str, Any]] = []
    shades: list[dict[str, Any]] = []
    for cell, task in zip(shape.cells, tasks, strict=True):
        here, axes = times[times["task"] == task], shape.axes(cell)
        for i, init in enumerate(inits):
            shift = ((len(inits) - 1) / 2 - i) * _SPREAD / len(inits)
            mine = here[here["init"] == init]
            rows = mine.assign(y=[len(train_sets) - 1 - train_sets.index(name) + shift for name in mine["train_set"]])
            traces += [trace | axes for trace in _marks(rows, init, looks[init])]
        panel = shape.figure.get_subplot(*cell)
        panels.adjust(panel.xaxis, type="log", showgrid=True, **_ticks(here))
        band = {"type": "rect", "xref": f"{axes['xaxis']} domain", "yref": axes["yaxis"], "x0": 0, "x1": 1}
        look = {"fillcolor": style.SHADE, "line": {"width": 0}, "layer": "below"}
        shades += [band | look | {"y0": i - 0.5, "y1": i + 0.5} for i in range(1, len(train_sets), 2)]
        panels.adjust(
            panel.yaxis,
            tickvals=list(range(len(train_sets))),
            ticktext=[style.label(style.train_set_text(name)) for name in reversed(train_sets)],
            range=[-0.5, len(train_sets) - 0.5],
            showticklabels=cell[1] == 1,
            showgrid=False,
        )
    shape.figure.add_traces(panels.named_once(traces))
    shape.figure.layout.shapes = shades
    return shape.figure


def _ticks(times: pd.DataFrame) -> dict[str, object]:
    ends = times[["shown", "low", "high"]].to_numpy(dtype=float)
    if not len(ends):
        return {}
    low, high = float(np.nanmin(ends)) / 1.4, float(np.nanmax(ends)) * 1.4
    ticks = [value for value in panels.round_values(low, high) if low <= value <= high]
    return {
        "range": [np.log10(low), np.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{value:,.0f}" for value in ticks],
    }


def _marks(rows: pd.DataFrame, init: str, look: style.Look) -> list[dict[str, Any]]:
    """Converged variants as a mark with its interval; others as an open mark that says "later than this"."""
    name = style.label(init)
    there, late = rows[rows["estimate"].notna()], rows[rows["estimate"].isna()]
    mean = {
        "type": "scatter",
        "x": there["estimate"].tolist() or [None],
        "y": there["y"].tolist() or [None],
        "error_x": {
            "type": "data",
            "array": (there["high"] - there["estimate"]).astype(float).tolist(),
            "arrayminus": (there["estimate"] - there["low"]).astype(float).tolist(),
            "thickness": 1.8,
            "width": 4,
        },
        "mode": "markers",
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 10},
        "name": name,
        "legendgroup": init,
        "customdata": there["num_runs"].tolist(),
        "hovertemplate": f"{name}: %{{x:,.0f}} steps, mean of %{{customdata}} runs<extra></extra>",
    }
    bound = {
        "type": "scatter",
        "x": late["shown"].tolist(),
        "y": late["y"].tolist(),
        "mode": "markers",
        "marker": {"color": look.colour, "symbol": "triangle-right-open", "size": 11, "line": {"width": 2}},
        "name": "later than this: not all have converged",
        "legendgroup": "late",
        "legendrank": panels.LAST_RANK,
        "hovertemplate": f"{name}: later than %{{x:,.0f}} steps<extra></extra>",
    }
    return [mean, *([bound] if len(late) else [])]
