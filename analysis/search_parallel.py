"""Every proposal of a task as a line through the axes that were searched."""

from __future__ import annotations

import json
import math

import pandas as pd
import plotly.graph_objects as go

from analysis import panels, style
from analysis.search_frames import label

_LOGARITHMIC = ("lr", "orthogonal_gain")
_FIRST = ("lr", "batch_size", "schedule", "dropout")
_SPREAD = 0.12
"""Lines through a value among few are spread by this part of the distance between two values, so that they show."""
_SCALE = "Viridis"


def draw(trials: pd.DataFrame, *, is_narrow: bool = False) -> go.Figure:
    """Every proposal, coloured by what it reached; axes that only some proposals have are left out.

    Args:
        trials: of one task, with a score.
        is_narrow: with the learning rate and what was reached only, for a narrow page.
    """
    params = pd.DataFrame([json.loads(text) for text in trials["params"]], index=trials.index)
    known = [name for name in params.columns if params[name].notna().all()]
    known.sort(key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    names = pd.Series([label(*pair) for pair in zip(trials["train_set"], trials["init"], strict=True)], trials.index)
    order = trials["number"].to_numpy() % 5 / 4 - 0.5
    axes = [] if is_narrow else [_kinds("", names, order)]
    axes += [_axis(name, params[name], order) for name in known if name == "lr" or not is_narrow]
    accuracy = {"label": "accuracy", "values": trials["score"].tolist(), "tickformat": ".0%"}
    colours = {
        "color": trials["score"].tolist(),
        "colorscale": _SCALE,
        "showscale": not is_narrow,
        "colorbar": {"tickformat": ".0%", "thickness": 12, "tickfont": {"size": 12}},
    }
    figure = go.Figure(go.Parcoords(line=colours, dimensions=[*axes, accuracy], labelfont={"size": 12}))
    figure.layout.template = style.template()
    left = 40 if is_narrow else 20 + 7 * int(names.map(len).max())
    figure.update_layout(height=420, margin={"t": 56, "b": 36, "l": left, "r": 48})
    return figure


def _axis(name: str, values: pd.Series, order: pd.Series) -> dict[str, object]:
    title = name.replace("_", " ").replace("orthogonal gain", "input gain")
    if values.dtype == object or isinstance(values.iloc[0], str) or values.nunique() <= 3:
        return _kinds(title, values, order)
    if name not in _LOGARITHMIC:
        return {"label": title, "values": values.tolist()}
    low, high = float(values.min()), float(values.max())
    ticks = [tick for tick in panels.round_values(low, high) if low <= tick <= high]
    ticks = ticks if len(ticks) > 1 else [low, high]
    return {
        "label": title,
        "values": [math.log10(value) for value in values],
        "tickvals": [math.log10(tick) for tick in ticks],
        "ticktext": [f"{tick:.2g}" for tick in ticks],
    }


def _kinds(title: str, values: pd.Series, order: pd.Series) -> dict[str, object]:
    """An axis of few values; its lines are spread a little around each."""
    kinds = sorted(values.unique(), reverse=values.dtype == object)
    places = [kinds.index(value) + _SPREAD * shift for value, shift in zip(values, order, strict=True)]
    return {
        "label": title,
        "values": places,
        "range": [-0.5, len(kinds) - 0.5],
        "tickvals": list(range(len(kinds))),
        "ticktext": [f"{kind:g}" if isinstance(kind, float) else str(kind) for kind in kinds],
    }
