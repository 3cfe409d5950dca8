"""Statistics of tensors by depth, drawn: a row of panels per statistic, a column per kind of tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.body_tensors import STATISTICS

MOST_KINDS = 9
"""Kinds of tensor that are drawn: Longformer has the most."""
_LOG_FROM = 3  # ratio between the largest and the least value from which an axis is logarithmic
_SIZE = 10  # of marks, but of those that have the values of others by design: they show inside these
_SIZES = {"statistics": 7, "shuffled": 4, "random-scaled": 6}
_MOST_MARKS = 12  # per line and panel; more would run together
_SMALLER_FROM, _SMALLER = 9, 0.65  # number of layers from which marks are smaller
_LONG = 12  # characters of a legend entry beyond which it takes the place of two
_LONGEST = 36  # characters of a legend entry
_MEAN_SPAN = 0.1  # of the median standard deviation: smaller differences of means are not enlarged
_INDEPENDENT = "independent values"


def draw(tensors: pd.DataFrame, *, columns: Sequence[int], shares_axis: bool) -> list[go.Figure]:
    """Rows: statistics; columns: kinds of tensor; x: layer; colour and marker: init. One figure per number of columns.

    Args:
        tensors: rows of `body_tensors.table` of one architecture.
        columns: most panels beside each other; further kinds continue in the line below.
        shares_axis: one vertical axis for all kinds.
    """
    assert tensors["architecture"].nunique() == 1, "one figure per architecture"
    inits, names = load.order("init", tensors["init"]), tensors["kind"].unique()[:MOST_KINDS].tolist()
    drawn = tensors[tensors["kind"].isin(names)]
    statistics = [name for name in STATISTICS if drawn[name].notna().any()]
    looks = style.looks(inits)
    traces, axes = [], []  # made once for all figures, since Plotly checks every value of them
    for statistic in statistics:
        rows = drawn[drawn[statistic].notna()]
        by_line = dict(iter(rows.groupby(["kind", "init"])))
        for name in names:
            lines = [_line(by_line[name, init], statistic, looks[init]) for init in inits if (name, init) in by_line]
            traces.append([_independent(rows), *lines] if statistic == "relative_spectral_norm" else lines)
            seen = rows[shares_axis | (rows["kind"] == name)]
            axes.append(_axis(seen[statistic], _MEAN_SPAN * seen["std"].median() if statistic == "mean" else 0))
    return [_arranged(names, statistics, inits, traces, axes, min(most, len(names)), shares_axis) for most in columns]


def _arranged(
    names: list[str],
    statistics: list[str],
    inits: list[str],
    traces: list[list[go.Scatter]],
    axes: list[dict[str, object]],
    width: int,
    shares_axis: bool,
) -> go.Figure:
    """The panels, `width` beside each other; traces and vertical axes are in their order."""
    entries = [*inits, _INDEPENDENT] if "relative_spectral_norm" in statistics else inits
    line: list[str | None] = [*names, *[None] * (-len(names) % width)]
    shape = panels.grid(
        line * len(statistics),
        columns=width,
        panel_height=150,
        x_title="layer, from 0",
        y_title="",
        num_entries=sum(1 + (len(name) > _LONG) for name in entries),
    )
    figure, layout = shape.figure, {}
    for i, (row, column) in enumerate(shape.cells):
        place = figure.get_subplot(row, column)
        title = STATISTICS[statistics[i // len(names)]] if column == 1 else ""
        labels = {"title": {"text": title}, "showticklabels": column == 1 or not shares_axis}
        layout[place.yaxis.plotly_name] = axes[i] | labels
        layout[place.xaxis.plotly_name] = {"nticks": 6, "tickformat": "d"}
    figure.update_layout(layout)
    cells = [cell for cell, some in zip(shape.cells, traces, strict=True) for _ in some]
    figure.add_traces([t for some in traces for t in some], [row for row, _ in cells], [column for _, column in cells])
    panels.name_once(figure)
    return figure


def _line(tensors: pd.DataFrame, statistic: str, look: style.Look) -> go.Scatter:
    """All bodies of one init as one trace, with gaps between them."""
    x, y = [], []
    for _, body in tensors.sort_values("layer").groupby("key", sort=False):
        x += [*body["layer"].tolist(), None]
        y += [*body[statistic].tolist(), None]
    init, kind = tensors[["init", "kind"]].iloc[0]
    num_bodies = tensors["key"].nunique()
    scale = _SMALLER if len(tensors) >= _SMALLER_FROM * num_bodies else 1
    name = style.label(init)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": look.colour, "dash": look.dash, "width": 1.5},
        marker={
            "color": look.colour,
            "symbol": look.symbol,
            "size": scale * _SIZES.get(style.kind_of(init), _SIZE),
            "maxdisplayed": _MOST_MARKS * num_bodies,
        },
        name=style.label(init if len(init) <= _LONGEST else f"{init[: _LONGEST // 2]}…{init[-_LONGEST // 2 :]}"),
        legendgroup=name,
        hovertemplate=f"{name}, {style.label(kind)}<br>layer %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _independent(tensors: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=[tensors["layer"].min(), tensors["layer"].max()],
        y=[1, 1],
        mode="lines",
        line={"color": style.NEUTRAL, "dash": "dash", "width": 1.5},
        name=_INDEPENDENT,
        legendrank=panels.LAST_RANK,
        hoverinfo="skip",
    )


def _axis(values: pd.Series, span: float) -> dict[str, object]:
    """A range that holds the values and `span` to either side; logarithmic where they are positive and far apart."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    if low > 0 and high > _LOG_FROM * low:
        ends = [math.log10(low), math.log10(high)]
        margin = 0.08 * (ends[1] - ends[0])
        ticks = panels.round_values(low, high)
        labels = [f"{tick:g}" for tick in ticks]
        return {"type": "log", "range": [ends[0] - margin, ends[1] + margin], "tickvals": ticks, "ticktext": labels}
    middle, half = (low + high) / 2, max(0.58 * (high - low), span) or 0.1 * max(abs(high), 1e-6)
    return {"range": [middle - half, middle + half], "nticks": 5, "exponentformat": "e"}
