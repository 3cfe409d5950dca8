"""Drawing ladders: test error against what rungs differ in, both logarithmic, and a law where there is one."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.axes import AXES

RUNG, CURVE, FIT = "rung", "curve", "fit"
"""Kinds of row in a scaling table."""
_PANEL = ("task", "protocol", "train_set", "setting")
_OPEN = ("full",)
"""Train sets drawn with open marks and dashed laws; the others have filled marks and solid laws."""
_NOTE_PIXELS, PANEL_HEIGHT = 15, 300
_COUNTED, _MOST_TICKS = ("depth", "width", "data"), 8
"""Axes whose rungs are round numbers and are the ticks themselves, where they are few."""
_LEAST_DECADES = 0.35
_ASIDE = 0.006
"""Share of the axis by which inits stand beside each other, so that equal ones are seen."""


def draw(table: pd.DataFrame, *, columns: int = 2) -> go.Figure:
    """A panel per task and train set: a mark per rung with its interval, the law with its band, or why there is none.

    Args:
        table: rows of `scaling.table` of one axis.
        columns: most panels beside each other.
    """
    assert table["axis"].nunique() == 1, "one figure per axis"
    inits = load.order("init", table["init"])
    keys = _ordered(table)
    shape = panels.grid(
        [_title(key, table) for key in keys],
        columns=columns,
        panel_height=PANEL_HEIGHT,
        x_title=_x_title(table),
        y_title="test error",
        num_entries=len(inits) + 3,
    )
    looks = style.looks(inits)
    panel_rows = dict(iter(table.groupby(list(_PANEL), sort=False)))
    spans = {task: _y_axis(rows) for task, rows in table.groupby("task", sort=False)}
    traces: list[dict[str, Any]] = []
    for cell, key in zip(shape.cells, keys, strict=True):
        here = panel_rows[key]
        rungs = here[here["kind"] == RUNG]
        if len(rungs):
            traces += [{**trace, **shape.axes(cell)} for trace in _traces(here, rungs, inits, looks)]
            panel = shape.figure.get_subplot(*cell)
            panel.xaxis.update(_x_axis(rungs["x"], is_counted=rungs["axis"].iloc[0] in _COUNTED))
            panel.yaxis.update(spans[key[0]])
        _notes(shape, cell, here[here["kind"] == FIT], looks)
    shape.figure.add_traces(panels.named_once(traces))
    return shape.figure


def _ordered(table: pd.DataFrame) -> list[tuple[str, ...]]:
    rank = {name: {value: i for i, value in enumerate(load.order(name, table[name]))} for name in ("task", "train_set")}
    keys = set(table[list(_PANEL)].itertuples(index=False, name=None))
    return sorted(keys, key=lambda key: (rank["task"][key[0]], key[1], rank["train_set"][key[2]], key[3]))


def _title(key: tuple[str, ...], table: pd.DataFrame) -> str:
    task, protocol, train_set, setting = key
    parts = [task, style.train_set_text(train_set) if train_set else ""]
    parts.append(f"protocol {protocol}" if table["protocol"].nunique() > 1 else "")
    return " · ".join(part for part in (*parts, setting) if part)


def _x_title(table: pd.DataFrame) -> str:
    return next(axis.x_title for axis in AXES if axis.name == table["axis"].iloc[0])


def _traces(
    here: pd.DataFrame, rungs: pd.DataFrame, inits: list[str], looks: dict[str, style.Look]
) -> list[dict[str, Any]]:
    ends = [rungs["x"].min(), rungs["x"].max()]
    traces = panels.reference_lines(rungs, ends)
    for init in inits:
        mine, look, name = here[here["init"] == init], looks[init], style.label(init)
        law = mine[mine["kind"] == CURVE].sort_values("x")
        if len(law):
            traces += [_band(law, look, name), _line(law, look, name)]
        points = mine[mine["kind"] == RUNG]
        if len(points):
            aside = (rungs["x"].max() / rungs["x"].min()) ** (_ASIDE * (inits.index(init) - (len(inits) - 1) / 2))
            traces.append(_marks(points.assign(drawn_x=points["x"] * aside), look, name))
    return traces


def _is_open(rows: pd.DataFrame) -> bool:
    return rows["train_set"].iloc[0] in _OPEN


def _band(law: pd.DataFrame, look: style.Look, name: str) -> dict[str, Any]:
    x = law["x"].tolist()
    return {
        "type": "scatter",
        "x": x + x[::-1],
        "y": law["high"].tolist() + law["low"].tolist()[::-1],
        "fill": "toself",
        "fillcolor": style.transparent(look.colour, 0.16),
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "name": name,
        "legendgroup": name,
        "showlegend": False,
    }


def _line(law: pd.DataFrame, look: style.Look, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": law["x"].tolist(),
        "y": law["mean"].tolist(),
        "mode": "lines",
        "line": {"color": look.colour, "width": 2.2, "dash": "dash" if _is_open(law) else "solid"},
        "name": name,
        "legendgroup": name,
        "showlegend": False,
        "hovertemplate": f"{name}, law: %{{y:.2%}} at %{{x:.4~s}}<extra></extra>",
    }


def _marks(points: pd.DataFrame, look: style.Look, name: str) -> dict[str, Any]:
    symbol = f"{look.symbol}-open" if _is_open(points) else look.symbol
    width = {"width": 1.8, "color": look.colour} if _is_open(points) else {"width": 0}
    hover = [style.label(_counted(row)) for row in points.itertuples()]
    return {
        "type": "scatter",
        "x": points["drawn_x"].tolist(),
        "y": points["mean"].tolist(),
        "error_y": {
            "type": "data",
            "array": (points["high"] - points["mean"]).tolist(),
            "arrayminus": (points["mean"] - points["low"]).clip(upper=0.999 * points["mean"]).tolist(),
            "thickness": 1.4,
            "width": 3,
        },
        "mode": "markers",
        "marker": {"color": look.colour, "symbol": symbol, "size": 9, "line": width},
        "customdata": list(zip(points["x"], hover, strict=True)),
        "name": name,
        "legendgroup": name,
        "hovertemplate": f"{name} %{{y:.2%}} at %{{customdata[0]:.4~s}}<br>%{{customdata[1]}}<extra></extra>",
    }


def _counted(row: Any) -> str:
    """A rung with what stands behind its mean, and what does not."""
    lost = {"diverged": row.num_diverged, "failed": row.num_failed}
    lacking = "".join(f", {int(count)} {word}" for word, count in lost.items() if count)
    return f"{row.rung}: {int(row.num_seeds)} seeds, {int(row.num_runs)} runs{lacking}"


def _x_axis(x: pd.Series, *, is_counted: bool) -> dict[str, Any]:
    is_few = is_counted and x.nunique() <= _MOST_TICKS
    at = sorted(x.unique()) if is_few else ticks(x.min(), x.max())
    ends = _range([x.min(), x.max()])
    return {"type": "log", "range": ends, "tickformat": ",.6~g" if is_few else "~s", "tickvals": at}


def _y_axis(rows: pd.DataFrame) -> dict[str, Any]:
    """One logarithmic axis for all panels of a task, with room for their notes; linear where a mean is zero."""
    rungs, fits = rows[rows["kind"] == RUNG], rows[rows["kind"] == FIT]
    if rungs.empty:
        return {}
    lows = rungs["low"].where(rungs["low"] > 0.5 * rungs["mean"])
    levels = [*rungs["mean"], *rungs["high"], *rungs["chance"], *rungs["floor"], *lows]
    shown = [value for value in levels if pd.notna(value)]
    num_notes = fits[fits["note"] != ""].groupby(list(_PANEL)).size().max() if (fits["note"] != "").any() else 0
    foot = num_notes * _NOTE_PIXELS / PANEL_HEIGHT
    if rungs["mean"].min() <= 0:
        return {"range": [-foot * max(shown), 1.08 * max(shown)], "tickformat": ".3~p"}
    low, high = _range(shown)
    ends = [low - foot * (high - low), high]
    return {"type": "log", "range": ends, "tickformat": ".3~p", "tickvals": ticks(min(shown), max(shown))}


def _range(values: list[float]) -> list[float]:
    """Ends of a logarithmic axis, in decades, never so close that noise fills the panel."""
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.05 * (high - low), (_LEAST_DECADES - (high - low)) / 2, 0.03)
    return [low - margin, high + margin]


def ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: round values, as close as it takes for three of them to be in sight."""
    if not 0 < low < high:
        return [low]
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    quarters, twentieths = [n / 4 for n in range(4, 40)], [n / 20 for n in range(20, 200)]
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), quarters, twentieths):
        values = sorted({digit * 10.0**exponent for exponent in exponents for digit in digits})
        seen = [value for value in values if low <= value <= high]
        if len(seen) >= 3:
            return seen
    return [low, high]


def _notes(shape: panels.Panels, cell: tuple[int, int], fits: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    """Why series have no law, at the foot of their panel."""
    refused = [row for row in fits.itertuples() if row.note]
    axes = shape.axes(cell)
    notes = [
        {
            "x": 0.01,
            "y": 0,
            "xref": f"{axes['xaxis']} domain",
            "yref": f"{axes['yaxis']} domain",
            "xanchor": "left",
            "yanchor": "bottom",
            "yshift": 3 + _NOTE_PIXELS * i,
            "text": style.label(f"{row.init}: no law, {row.note}"),
            "showarrow": False,
            "font": {"size": 11, "color": looks[str(row.init)].colour},
        }
        for i, row in enumerate(reversed(refused))
    ]
    shape.annotate(notes)
