"""Maps of first-layer attention: one row of panels per initialisation, before training and at the selected step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.attention import MASS, SELECTED, STATES, UNTRAINED
from analysis.style import percent

_SHADES = [[0.0, "rgba(0, 114, 178, 0)"], [1.0, "rgba(0, 114, 178, 1)"]]
"""From nothing, whatever the page's colour, to Okabe and Ito's blue."""
_CELL_PIXELS, _LEAST_HEIGHT, _MOST_HEIGHT = 26, 130, 220
_MOST_LABELS = 16  # of single tokens on an axis
_NAMES: dict[str, Callable[[int], list[str]]] = {
    "bit-xor": lambda number: [f"string {i + 1}" for i in range(number)],
    "bit-memory": lambda number: ["asked for", *[f"other {i + 1}" for i in range(number - 2)], "query"],
}
"""Task -> what its strings are, in the order of the places; each has as many tokens as are read."""


def draw(maps: pd.DataFrame, cells: pd.DataFrame, *, columns: int = 2) -> go.Figure:
    """Heat maps with the mass on the places that matter above each, which are framed.

    Args:
        maps: rows of `attention.maps` of one task, train set and setting.
        cells: the rows of `attention.by_cell` of the same runs.
        columns: 2 puts the states beside each other, 1 below each other.
    """
    (task,) = maps["task"].unique()
    inits = load.order("init", cells["init"])
    told = cells.set_index("init")
    places = [(init, state) for init in inits for state in STATES]
    shape = panels.grid(
        [_title(told.loc[init], init, state) for init, state in places],
        columns=columns,
        panel_height=_height(maps),
        x_title="token that is looked at",
        y_title="token that looks",
        num_entries=4 if columns == 1 else 14,  # two lines of room for the scale
    )
    for (row, column), (init, state) in zip(shape.cells, places, strict=True):
        here = maps[(maps["init"] == init) & (maps["state"] == state)]
        grid = here.pivot(index="query", columns="place", values="weight")
        where = {"row": row, "col": column}
        shape.figure.add_trace(_heat(grid, init, state), **where)
        for frame in _frames(here):
            shape.figure.add_shape(**frame, **where)
        shape.figure.update_xaxes(**_strings(str(task), grid.shape), range=[-0.5, grid.shape[1] - 0.5], **where)
        shape.figure.update_yaxes(**_queries(grid.index.tolist()), **where)
    bar = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top"}
    bar |= {"len": 0.9 / columns, "thickness": 10, "tickformat": ".0%", "nticks": 6, "outlinewidth": 0}
    bar |= {"title": {"text": "attention", "side": "right", "font": {"size": 13}}, "ypad": 4}
    axis = {"colorscale": _SHADES, "cmin": 0.0, "cmax": float(maps["weight"].max()), "colorbar": bar}
    shape.figure.update_layout(coloraxis=axis)
    return shape.figure


def _title(cell: pd.Series, init: str, state: str) -> str:
    share = cell[MASS] if state == SELECTED else cell[UNTRAINED]
    return f"{init}, {STATES[state]}: {percent(share, 0)}"


def _height(maps: pd.DataFrame) -> int:
    return int(np.clip(_CELL_PIXELS * maps["query"].nunique(), _LEAST_HEIGHT, _MOST_HEIGHT))


def _heat(grid: pd.DataFrame, init: str, state: str) -> go.Heatmap:
    where = f"{style.label(init)}, {STATES[state]}"
    return go.Heatmap(
        x=grid.columns.tolist(),
        y=grid.index.tolist(),
        z=grid.to_numpy().tolist(),
        coloraxis="coloraxis",
        hovertemplate=f"{where}<br>token %{{y}} to place %{{x}}: %{{z:.1%}}<extra></extra>",
    )


def _frames(here: pd.DataFrame) -> list[dict[str, object]]:
    """Rectangles around runs of places that matter, those of neighbouring tokens with the same ones in one."""
    matter = here[here["is_relevant"]].groupby("query")["place"].agg(lambda own: tuple(sorted(own)))
    blocks: list[tuple[int, int, tuple[int, ...]]] = []
    for query, own in matter.items():
        first, last = int(query), int(query)  # pyright: ignore[reportArgumentType] - an index of whole numbers
        if blocks and blocks[-1][1] == first - 1 and blocks[-1][2] == own:
            first = blocks.pop()[0]
        blocks.append((first, last, own))
    line = {"color": "#D55E00", "width": 1.5}
    return [
        {"type": "rect", "x0": left - 0.5, "x1": right + 0.5, "y0": first - 0.5, "y1": last + 0.5, "line": line}
        for first, last, own in blocks
        for left, right in _stretches(own)
    ]


def _stretches(places: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last of each stretch of neighbouring places."""
    cuts = [i for i in range(1, len(places)) if places[i] != places[i - 1] + 1]
    return [(places[start], places[stop - 1]) for start, stop in zip([0, *cuts], [*cuts, len(places)], strict=True)]


def _strings(task: str, shape: tuple[int, ...]) -> dict[str, object]:
    """Ticks of the horizontal axis: which string a place is in, and its number where there is room."""
    num_read, num_places = shape
    names = _NAMES.get(task, lambda _: [])(num_places // num_read)
    if len(names) * num_read != num_places:
        return {"nticks": _MOST_LABELS}
    if num_places > _MOST_LABELS:
        return {"tickvals": [num_read * (i + 0.5) - 0.5 for i in range(len(names))], "ticktext": names, "tickangle": 0}
    texts = [str(place) for place in range(num_places)]
    for i, name in enumerate(names):
        texts[num_read * i + num_read // 2] += f"<br>{name}"
    return {"tickvals": list(range(num_places)), "ticktext": texts, "tickangle": 0}


def _queries(queries: list[int]) -> dict[str, object]:
    """Ticks of the vertical axis: positions, the first token above."""
    every = math.ceil(len(queries) / _MOST_LABELS)
    ticks = queries if len(queries) <= _MOST_LABELS else queries[::every]
    return {"range": [queries[-1] + 0.5, queries[0] - 0.5], "tickvals": ticks, "showgrid": False}
