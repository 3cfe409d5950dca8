"""Every proposal of a task as a line through the axes that were searched.

Drawn with ordinary lines: Plotly's own parallel coordinates need WebGL, which not every browser and no archive has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from analysis import panels, style
from analysis.search_frames import label

_LOGARITHMIC = ("lr", "orthogonal_gain")
_FIRST = ("lr", "batch_size", "schedule", "dropout")
_MOST_KINDS = 5
_SPREAD = 0.12
"""Lines through a value among few are spread by this part of the distance between two values, so that they show."""
_GREY, _SKY, _ORANGE, _BEST = style.NEUTRAL, "#56B4E9", "#E69F00", "#D55E00"
_COLOURS = ((_GREY, 0.2), (_GREY, 0.4), (_SKY, 0.5), (_SKY, 0.9), (_ORANGE, 0.9), (_BEST, 1.0))
"""Colour and opacity from the worst sixth of what was reached to the best; they show on a dark page too."""


@dataclass(frozen=True)
class _Axis:
    """Places of all proposals on one axis, from 0 at its foot to 1, and what stands beside it."""

    title: str
    places: list[float]
    ticks: list[tuple[float, str]]


def draw(trials: pd.DataFrame, *, is_narrow: bool = False) -> go.Figure:
    """Every proposal, coloured by what it reached; axes that only some proposals have are left out.

    Args:
        trials: of one task, with a score.
        is_narrow: with the learning rate and what was reached only, for a narrow page.
    """
    axes = _axes(trials, is_narrow)
    scores = trials["score"]
    low, high = float(scores.min()), float(scores.max())
    width = (high - low) / len(_COLOURS) or 1.0
    groups = [min(len(_COLOURS) - 1, int((score - low) / width)) for score in scores]
    figure = go.Figure([_lines(axes, groups, number, low + number * width, width) for number in range(len(_COLOURS))])
    figure.layout.template = style.template()
    figure.update_layout(
        height=440,
        margin={"t": 96 if is_narrow else 72, "b": 28, "l": 24 if is_narrow else 130, "r": 56},
        annotations=[note for place, axis in enumerate(axes) for note in _notes(place, axis, len(axes))],
        shapes=[_upright(place) for place in range(len(axes))],
        xaxis={"visible": False, "range": [-0.02 * len(axes), len(axes) - 1]},
        yaxis={"visible": False, "range": [-0.03, 1.1]},
    )
    return figure


def _axes(trials: pd.DataFrame, is_narrow: bool) -> list[_Axis]:
    params = pd.DataFrame([json.loads(text) for text in trials["params"]], index=trials.index)
    known = [name for name in params.columns if params[name].notna().all()]
    known.sort(key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    names = pd.Series([label(*pair) for pair in zip(trials["train_set"], trials["init"], strict=True)], trials.index)
    shifts = [number % 5 / 4 - 0.5 for number in trials["number"]]
    axes = [] if is_narrow else [_kinds("", names, shifts)]
    axes += [_axis(name, params[name], shifts) for name in known if name == "lr" or not is_narrow]
    ticks = _even(float(trials["score"].min()), float(trials["score"].max()))
    return [*axes, _numbers("accuracy", trials["score"].tolist(), ticks, [f"{tick:.0%}" for tick in ticks])]


def _axis(name: str, values: pd.Series, shifts: Sequence[float]) -> _Axis:
    title = name.replace("_", " ").replace("orthogonal gain", "input gain")
    if isinstance(values.iloc[0], str) or values.nunique() <= _MOST_KINDS:
        return _kinds(title, values, shifts)
    low, high = float(values.min()), float(values.max())
    if name not in _LOGARITHMIC or low <= 0:
        ticks = _even(low, high)
        return _numbers(title, values.tolist(), ticks, [f"{tick:.2g}" for tick in ticks])
    ticks = [tick for tick in panels.round_values(low, high) if low <= tick <= high]
    places = [math.log10(value) for value in values]
    return _numbers(title, places, [math.log10(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])


def _even(low: float, high: float) -> list[float]:
    return [low + share * (high - low) for share in (0, 0.25, 0.5, 0.75, 1)]


def _numbers(title: str, values: Sequence[float], ticks: Sequence[float], texts: Sequence[str]) -> _Axis:
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    marks = [((tick - low) / width, text) for tick, text in zip(ticks, texts, strict=True)]
    return _Axis(title, [(value - low) / width for value in values], marks)


def _kinds(title: str, values: pd.Series, shifts: Sequence[float]) -> _Axis:
    """An axis of few values; its lines are spread a little around each."""
    kinds = sorted(values.unique(), reverse=isinstance(values.iloc[0], str))
    step = 1 / len(kinds)
    middles = {kind: (number + 0.5) * step for number, kind in enumerate(kinds)}
    places = [middles[value] + _SPREAD * step * shift for value, shift in zip(values, shifts, strict=True)]
    texts = [(middles[kind], f"{kind:.3g}" if isinstance(kind, float) else str(kind)) for kind in kinds]
    return _Axis(title, places, texts)


def _lines(axes: Sequence[_Axis], groups: Sequence[int], group: int, low: float, width: float) -> go.Scatter:
    """The proposals of one colour as one trace with gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    for row in (row for row, own in enumerate(groups) if own == group):
        x += [*range(len(axes)), None]
        y += [*(axis.places[row] for axis in axes), None]
    colour, opacity = _COLOURS[group]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": colour, "width": 2.2 if colour == _BEST else 1.1},
        opacity=opacity,
        name=f"{low:.0%} to {low + width:.0%}",
        showlegend=bool(x),
        hoverinfo="skip",
    )


def _upright(place: int) -> dict[str, object]:
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": {"color": style.NEUTRAL, "width": 1}}


def _notes(place: int, axis: _Axis, num_axes: int) -> list[dict[str, object]]:
    """The title above an axis and its values: left of the first one, right of the others."""
    side = {"xanchor": "right", "xshift": -6} if place == 0 and num_axes > 2 else {"xanchor": "left", "xshift": 5}
    shared = {"x": place, "showarrow": False, "yanchor": "middle"}
    anchor = "right" if place == num_axes - 1 else "left" if place == 0 else "center"
    title = {**shared, "y": 1.07, "text": f"<b>{style.label(axis.title)}</b>", "font": {"size": 12}, "xanchor": anchor}
    # Just above its line, where few others pass.
    shared["yanchor"] = "bottom" if 0 < place < num_axes - 1 else "middle"
    values = [{**shared, **side, "y": y, "text": style.label(text), "font": {"size": 11}} for y, text in axis.ticks]
    return [title, *values]
