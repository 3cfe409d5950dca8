"""A figure with its numbers, and the files it becomes: HTML, CSV, and PNG and SVG where a Chrome can draw them."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from pandas.api.types import is_object_dtype
from plotly.offline import get_plotlyjs

from analysis import images

IMAGE_WIDTH = 1200
"""Pixels of a static image, before it is scaled up for print."""
WIDE = 760
"""CSS pixels of room from which panels stand beside each other; a third form would cost as much again to make."""
_SCALES = {"png": 2, "svg": 1}


Drawn = go.Figure | dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """One figure of a report.

    Attributes:
        name: file name without ending, unique in the report, of letters, digits and dashes.
        caption: what is drawn, what the intervals are and over how many seeds.
        alt: one sentence for who cannot see it.
        table: the numbers behind it, as in its CSV.
        variants: (least width in CSS pixels, figure), widest first, the last from 0: the page shows the first
            that fits. A figure that another process made is plain JSON values (`analysis.workers`).
    """

    name: str
    caption: str
    alt: str
    table: pd.DataFrame
    variants: tuple[tuple[int, Drawn], ...]

    def __post_init__(self) -> None:
        widths = [width for width, _ in self.variants]
        assert widths == sorted(widths, reverse=True) and widths[-1] == 0

    def csv(self) -> str:
        """The numbers; null is empty, several values in a cell stand apart by semicolons."""
        return self._csv

    @cached_property
    def _csv(self) -> str:
        flat = self.table.copy()
        for column in flat.columns:
            if is_object_dtype(flat[column]) and any(isinstance(value, tuple) for value in flat[column]):
                flat[column] = [";".join(f"{value:.6g}" for value in values) for values in flat[column]]
        return flat.to_csv(index=False, lineterminator="\n")


def plain(drawn: Drawn) -> dict[str, Any]:
    """A figure as JSON values."""
    return drawn if isinstance(drawn, dict) else drawn.to_dict()


def forms(draw: Callable[[int], go.Figure], columns: int) -> tuple[tuple[int, go.Figure], ...]:
    """The variants of a figure of panels: `columns` of them beside each other where there is room, else one."""
    return (WIDE, draw(columns)), (0, draw(1))


def save(pictures: Sequence[Picture], folder: Path, *, command: str) -> list[str]:
    """Write every picture as NAME.html (with plotly.min.js once beside them), NAME.csv, NAME.png and NAME.svg.

    Images need kaleido and a Chrome; where either is missing the other files are written all the same.

    Args:
        pictures: with distinct names.
        folder: an existing folder.
        command: what made them, kept in the HTML.

    Returns:
        Notices for the reader, one line each: why there are no images, or not all.
    """
    for picture in pictures:
        drawn = picture.variants[0][1]
        (folder / f"{picture.name}.csv").write_text(picture.csv(), encoding="utf-8")
        body = pio.to_html(drawn, include_plotlyjs="directory", full_html=False, div_id=picture.name, validate=False)
        (folder / f"{picture.name}.html").write_text(_fragment(picture, body, command), encoding="utf-8")
    if pictures:
        (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    reason = images.write([job for picture in pictures for job in _jobs(picture, folder)]) if pictures else None
    if reason is None:
        return []
    num = sum(all((folder / f"{picture.name}.{ending}").exists() for ending in _SCALES) for picture in pictures)
    share = f"of {num} of {len(pictures)} figures " if num else ""
    told = f"{'PNG' if num else 'no PNG'} and SVG files {share}were written"
    return [f"{told} ({reason}); the buttons below each figure make them in the browser"]


def _fragment(picture: Picture, body: str, command: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(picture.name)}</title>'
        f'<body style="font-family:sans-serif">{body}<p>{html.escape(picture.caption)}</p>'
        f"<p><code>{html.escape(command)}</code></p></body></html>"
    )


def _jobs(picture: Picture, folder: Path) -> list[images.Job]:
    drawn = picture.variants[0][1]
    document = pio.to_json(drawn, validate=False)
    height = int(drawn["layout"]["height"])
    return [
        images.Job(document, str(folder / f"{picture.name}.{ending}"), IMAGE_WIDTH, height, scale)
        for ending, scale in _SCALES.items()
    ]
