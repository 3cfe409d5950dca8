"""A figure of small panels with titles at their left, shared axis titles and one legend above them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis import style

_LEGEND_PIXELS, _TITLE_PIXELS, _FOOT_PIXELS = 6, 26, 56
LAST_RANK = 2000  # of legend entries that belong behind the variants; Plotly's default is 1000
_WIDE_ENTRIES, _NARROW_ENTRIES = 7, 2
_ENTRY_PIXELS, _LINE_PIXELS = 30, 18


@dataclass(frozen=True)
class Panels:
    """The figure and, panel by panel, its (row, column) in it, both counted from 1."""

    figure: go.Figure
    cells: list[tuple[int, int]]

    def axes(self, cell: tuple[int, int]) -> dict[str, str]:
        """The axes of a panel as a trace names them. Hundreds of traces are added four times as fast all at once."""
        panel = self.figure.get_subplot(*cell)
        return {f"{name}axis": getattr(panel, f"{name}axis").plotly_name.replace("axis", "") for name in "xy"}

    def annotate(self, notes: Sequence[dict[str, Any]]) -> None:
        """Add annotations that name their axes (xref, yref)."""
        self.figure.layout.annotations = [*self.figure.layout.annotations, *notes]


def grid(
    titles: Sequence[str | None],
    *,
    columns: int,
    panel_height: int,
    x_title: str,
    y_title: str,
    num_entries: int,
    note_lines: int = 0,
) -> Panels:
    """Empty panels, filled row by row.

    Args:
        titles: one per panel; may come from data. None leaves the place empty.
        columns: most panels beside each other.
        panel_height: of the drawing area, pixels.
        x_title, y_title: axis titles with units; the first stands under each column, the second left of each row.
        num_entries: legend entries that room is made for.
        note_lines: lines of text that the caller puts under every panel in place of `x_title`.
    """
    num_columns = max(1, min(columns, len(titles)))
    num_rows = -(-len(titles) // num_columns)
    entries_per_line = _NARROW_ENTRIES if columns == 1 else _WIDE_ENTRIES
    top = _LEGEND_PIXELS + _ENTRY_PIXELS * -(-num_entries // entries_per_line) + _TITLE_PIXELS
    gap = _TITLE_PIXELS + 44 + _LINE_PIXELS * note_lines
    inner = num_rows * panel_height + (num_rows - 1) * gap
    places = [(1 + i // num_columns, 1 + i % num_columns) for i in range(len(titles))]
    cells = [place for place, title in zip(places, titles, strict=True) if title is not None]
    figure = copy.deepcopy(_empty(num_rows, num_columns, tuple(cells), gap / inner if num_rows > 1 else 0))
    foot = _FOOT_PIXELS + _LINE_PIXELS * max(note_lines - 1, 0)
    figure.layout.template = style.template()  # assigned: update_layout would merge it key by key, ten times as slow
    # So is update_layout itself, three hundredths of a second each time.
    figure.layout.height, figure.layout.margin = inner + top + foot, {"t": top, "b": foot}
    last_row = {column: max(row for row, other in cells if other == column) for _, column in cells}
    headings = []
    for (row, column), title in zip(cells, (title for title in titles if title is not None), strict=True):
        panel = figure.get_subplot(row, column)
        place = {"x": panel.xaxis.domain[0], "y": panel.yaxis.domain[1], "xref": "paper", "yref": "paper"}
        look = {"xanchor": "left", "yanchor": "bottom", "yshift": 4, "showarrow": False, "font": {"size": 14}}
        headings.append({"text": f"<b>{style.label(title)}</b>", **place, **look})
        if row == last_row[column]:
            panel.xaxis.title = {"text": x_title}
        if column == 1:
            panel.yaxis.title = {"text": y_title}
    figure.layout.annotations = headings
    return Panels(figure, cells)


@cache
def _empty(num_rows: int, num_columns: int, cells: tuple[tuple[int, int], ...], vertical_spacing: float) -> go.Figure:
    """Axes in their places; a copy is made three times as fast as this."""
    return make_subplots(
        rows=num_rows,
        cols=num_columns,
        shared_yaxes=False,
        horizontal_spacing=0.045 if num_columns > 1 else 0,
        vertical_spacing=vertical_spacing,
        specs=[
            [{} if (row, column) in cells else None for column in range(1, num_columns + 1)]
            for row in range(1, num_rows + 1)
        ],
    )


def adjust(axis: Any, **values: object) -> None:
    """Set attributes of an axis, ten times as fast as its own `update`."""
    for name, value in values.items():
        axis[name] = value


def reference_lines(rows: pd.DataFrame, ends: Sequence[float]) -> list[dict[str, Any]]:
    """Horizontal lines at the chance level and at the best trivial predictor, where the rows know them.

    Args:
        rows: a table with columns chance and floor (fractions, null where unknown).
        ends: first and last x of the lines.
    """
    traces = []
    for column, name, dash in (("chance", "chance", "dot"), ("floor", "best trivial predictor", "dash")):
        level = rows[column].max()
        if pd.notna(level):
            trace = {
                "type": "scatter",
                "x": list(ends),
                "y": [level, level],
                "mode": "lines",
                "line": {"color": style.NEUTRAL, "dash": dash, "width": 1.5},
                "name": name,
                "legendgroup": name,
                "legendrank": LAST_RANK,
                "hovertemplate": f"{name} %{{y:.1%}}<extra></extra>",
            }
            traces.append(trace)
    return traces


def round_values(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2 and 5 times powers of ten, or the powers alone where those would be many."""
    assert 0 < low <= high
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    return [digit * 10.0**exponent for exponent in exponents for digit in digits]


def name_once(figure: go.Figure) -> None:
    """Show each legend entry once, for the first trace that has the name and does not refuse it."""
    named: set[str] = set()
    for trace in figure.data:
        shown = trace.showlegend is not False and trace.name not in named
        trace.showlegend = shown
        if shown:
            named.add(trace.name)


def named_once(traces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As `name_once`, before the traces are added."""
    named: set[object] = set()
    done = []
    for trace in traces:
        shown = trace.get("showlegend") is not False and trace["name"] not in named
        done.append({**trace, "showlegend": shown})
        if shown:
            named.add(trace["name"])
    return done
