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
    for (row, column), claim in zip(shape.cells, titles, strict=True):
        where = {"row": row, "col": column}
        if columns == 1:
            # Above the names of the lines too: a narrow figure has no room for a long title above its axis alone.
            title = shape.figure.layout.annotations[row - 1]
            title.update(xshift=-_NAME_PIXELS * longest, font={"size": 13})
        if column > 1:
            _make_room(shape.figure, where, min(_LETTER * longest, _MOST_ROOM))
        _panel(shape.figure, effects[effects["claim"] == claim], most, where)
    for name, (symbol, colour) in MARKS.items():
        mark = {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 2, "color": colour}}
        shape.figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=mark, name=name, legendgroup=name))
    return shape.figure


def _make_room(figure: go.Figure, where: dict[str, int], share: float) -> None:
    """Room for the names of the lines left of a panel that is not the first of its row; its title stays above them."""
    axis = figure.get_subplot(**where).xaxis
    left, right = axis.domain
    axis.domain = (left + share * (right - left), right)


def _panel(figure: go.Figure, rows: pd.DataFrame, most: int, where: dict[str, int]) -> None:
    order = {task: i for i, task in enumerate(load.order("task", rows["task"]))}
    records = sorted(rows.to_dict("records"), key=lambda row: order[row["task"]])
    is_ratio = records[0]["unit"] == str(Unit.RATIO)
    low, high = span(rows)
    for height, row in enumerate(records):
        figure.add_trace(_mark(height, row, low, high), **where)
    bounds = rows[["bound_low", "bound_high"]].iloc[0].astype(float).fillna({"bound_low": low, "bound_high": high})
    figure.add_vrect(x0=bounds.iloc[0], x1=bounds.iloc[1], fillcolor=CLAIMED, line_width=0, layer="below", **where)
    figure.add_vline(x=1 if is_ratio else 0, line={"color": style.NEUTRAL, "width": 1}, **where)
    figure.update_yaxes(
        tickvals=list(range(len(records))),
        ticktext=[style.label(_label(row)) for row in records],
        range=[most - 0.4, -0.6],
        showgrid=True,
        **where,
    )
    axis = {"range": [low, high]}
    if is_ratio:
        ticks = panels.round_values(low, high)
        ticks = ticks[:: max(1, len(ticks) // _MOST_TICKS)]
        axis = {"type": "log", "range": [math.log10(low), math.log10(high)], "tickvals": ticks}
    figure.update_xaxes(title_text=_SHORT[records[0]["unit"]], showgrid=True, **axis, **where)


def _mark(height: int, row: dict, low: float, high: float) -> go.Scatter:
    told = CANNOT if row["cannot"] else row["verdict"]
    symbol, colour = MARKS[told]
    estimate = min(max(row["estimate"], low), high)
    bar = {}
    if pd.notna(row["low"]):
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
        hovertemplate=f"{row['estimate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]<br>{style.label(row['method'])}"
        f"<br>{style.label(row['cannot'] or told)}<extra></extra>",
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
