"""Every effect of a family of claims: a panel per claim, a line per task, the claimed side shaded."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.claims.claim import Unit, Verdict

CANNOT = "cannot be told"
MARKS = {
    str(Verdict.SUPPORTED): ("circle", "#009E73"),
    str(Verdict.CONTRADICTED): ("diamond", "#D55E00"),
    str(Verdict.UNDECIDED): ("circle-open", style.NEUTRAL),
    CANNOT: ("x-thin-open", style.NEUTRAL),
}
"""Symbol and colour of a line by its own verdict, at its 95 % interval."""
CLAIMED = "rgba(0, 158, 115, 0.12)"
_LINE_PIXELS = 22
_MOST_TICKS = 4
_NAME_PIXELS = 6.5  # a letter of a name, about
_LETTER, _MOST_ROOM = 0.021, 0.5  # share of a panel that a letter of the longest name takes, and all of them at most
_SHORT = {
    str(Unit.POINTS): "points",
    str(Unit.PER_DOUBLING): "points per doubling",
    str(Unit.RATIO): "ratio",
    str(Unit.MASS): "points of attention",
}


def draw(effects: pd.DataFrame, titles: dict[str, str], *, columns: int) -> go.Figure:
    """A forest plot in panels.

    Args:
        effects: rows of `evaluation.effects` of one context, with an estimate.
        titles: claim -> title of its panel, in the order of the panels.
        columns: most panels beside each other.
    """
    most = int(effects.groupby("claim").size().max())
    shape = panels.grid(
        list(titles.values()),
        columns=columns,
        panel_height=_LINE_PIXELS * most + 24,
        x_title="",
        y_title="",
        num_entries=len(MARKS),
        note_lines=1,
    )
    longest = max(len(_label(row)) for row in effects.to_dict("records"))
    traces: list[go.Scatter] = []
    shapes: list[dict[str, object]] = []
    for (row, column), claim in zip(shape.cells, titles, strict=True):
        where = {"row": row, "col": column}
        if columns == 1:
            # Above the names of the lines too: a narrow figure has no room for a long title above its axis alone.
            title = shape.figure.layout.annotations[row - 1]
            title.update(xshift=-_NAME_PIXELS * longest, font={"size": 13})
        if column > 1:
            _make_room(shape.figure, where, min(_LETTER * longest, _MOST_ROOM))
        marks, marked = _panel(shape, effects[effects["claim"] == claim], most, (row, column))
        traces += marks
        shapes += marked
    for name, (symbol, colour) in MARKS.items():
        mark = {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}}
        traces.append(go.Scatter(x=[None], y=[None], mode="markers", marker=mark, name=name, legendgroup=name))
    # Added one by one, hundreds of them take ten times as long.
    shape.figure.add_traces(traces)
    shape.figure.layout.shapes = shapes
    return shape.figure


def _make_room(figure: go.Figure, where: dict[str, int], share: float) -> None:
    """Room for the names of the lines left of a panel that is not the first of its row; its title stays above them."""
    axis = figure.get_subplot(**where).xaxis
    left, right = axis.domain
    axis.domain = (left + share * (right - left), right)


def _panel(
    shape: panels.Panels, rows: pd.DataFrame, most: int, cell: tuple[int, int]
) -> tuple[list[go.Scatter], list[dict[str, object]]]:
    """Marks and background of one panel, whose axes are set."""
    order = {task: i for i, task in enumerate(load.order("task", rows["task"]))}
    records = sorted(rows.to_dict("records"), key=lambda row: order[row["task"]])
    is_ratio = records[0]["unit"] == str(Unit.RATIO)
    low, high = span(rows)
    axes, panel = shape.axes(cell), shape.figure.get_subplot(*cell)
    marks = [_mark(height, row, low, high, axes) for height, row in enumerate(records)]
    bounds = rows[["bound_low", "bound_high"]].iloc[0].astype(float).fillna({"bound_low": low, "bound_high": high})
    none = 1 if is_ratio else 0
    whole = {"xref": axes["xaxis"], "yref": f"{axes['yaxis']} domain", "y0": 0, "y1": 1}
    band = {"type": "rect", "x0": bounds.iloc[0], "x1": bounds.iloc[1], "fillcolor": CLAIMED, "layer": "below"}
    line = {"type": "line", "x0": none, "x1": none, "line": {"color": style.NEUTRAL, "width": 1}}
    panels.adjust(
        panel.yaxis,
        tickvals=list(range(len(records))),
        ticktext=[style.label(_label(row)) for row in records],
        range=[most - 0.4, -0.6],
        showgrid=True,
    )
    axis: dict[str, object] = {"range": [low, high]}
    if is_ratio:
        ticks = panels.round_values(low, high)
        ticks = ticks[:: max(1, len(ticks) // _MOST_TICKS)]
        axis = {"type": "log", "range": [math.log10(low), math.log10(high)], "tickvals": ticks}
    panels.adjust(panel.xaxis, title={"text": _SHORT[records[0]["unit"]]}, showgrid=True, **axis)
    return marks, [{**whole, **band, "line": {"width": 0}}, {**whole, **line}]


def _mark(height: int, row: dict, low: float, high: float, axes: dict[str, str]) -> go.Scatter:
    told = CANNOT if row["cannot"] else row["verdict"]
    symbol, colour = MARKS[told]
    estimate = min(max(row["estimate"], low), high)
    bar, numbers = {}, f"{row['estimate']:.3g}, no interval"
    if pd.notna(row["low"]):
        numbers = f"{row['estimate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
        ends = (max(row["low"], low), min(row["high"], high))
        bar = {
            "error_x": {
                "type": "data",
                "array": [max(ends[1] - estimate, 0)],
                "arrayminus": [max(estimate - ends[0], 0)],
                "thickness": 1.8,
                "width": 0,
            }
        }
    return go.Scatter(
        x=[estimate],
        y=[height],
        mode="markers",
        marker={"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}},
        name=told,
        legendgroup=told,
        showlegend=False,
        hovertemplate="<br>".join([numbers, style.label(row["method"]), style.label(row["cannot"] or told)])
        + "<extra></extra>",
        **axes,
        **bar,
    )


def _label(row: dict) -> str:
    return f"{row['task']} · {row['line']}" if row["line"] else row["task"]


def span(rows: pd.DataFrame) -> tuple[float, float]:
    """Range of a panel's axis: estimates, bounds and the point of no effect with room; wider intervals are cut."""
    is_ratio = rows["unit"].iloc[0] == str(Unit.RATIO)
    held = pd.concat([rows["estimate"], rows["bound_low"], rows["bound_high"]]).dropna().tolist()
    if is_ratio:
        logs = [math.log(value) for value in held if value > 0] + [0.0]
        room = max(0.6 * (max(logs) - min(logs)), math.log(2))
        return math.exp(min(logs) - room), math.exp(max(logs) + room)
    least = {str(Unit.PER_DOUBLING): 0.5}.get(rows["unit"].iloc[0], 2.0)
    room = max(0.6 * (max(*held, 0.0) - min(*held, 0.0)), least)
    return min(*held, 0.0) - room, max(*held, 0.0) + room
