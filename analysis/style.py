"""How everything in a report looks: one colour and marker per initialisation, one template.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color) but for the yellow, which white paper swallows (contrast 1.3), and
two of Tol's (sronpersonalpages.nl/~pault), told apart under the common colour-vision deficiencies; every colour goes
with a marker of its own, so a figure also reads in black and white.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from models import TRAIN_SETS

FONT = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
NEUTRAL = "#7f7f7f"  # readable on white and on the dark page
SHADE = "rgba(127, 127, 127, 0.07)"

_BLUE, _GREEN, _VERMILLION = "#0072B2", "#009E73", "#D55E00"
_PURPLE, _ORANGE, _SKY, _BLACK = "#CC79A7", "#E69F00", "#56B4E9", "#222222"
_WINE, _INDIGO = "#882255", "#332288"


@dataclass(frozen=True)
class Look:
    """Colour (hex), Plotly marker symbol and line dash of one variant."""

    colour: str
    symbol: str
    dash: str


INIT_LOOKS = {
    "language": Look(_BLUE, "circle", "solid"),
    "bit-memory": Look(_GREEN, "square", "dash"),
    "random": Look(_VERMILLION, "diamond", "dot"),
    "vision": Look(_PURPLE, "triangle-up", "dashdot"),
    "statistics": Look(_ORANGE, "triangle-down", "longdash"),
    "shuffled": Look(_SKY, "star", "longdashdot"),
    "random-scaled": Look(_WINE, "pentagon", "dash"),
    "dyck": Look(_INDIGO, "hexagram", "dot"),
    "cellular-automata": Look(_BLACK, "diamond-wide", "dashdot"),
}
_BASES = ("fpt", "full")
_SPARE = (
    Look(NEUTRAL, "hexagon", "solid"),
    Look(_SKY, "cross", "dash"),
    Look(_ORANGE, "x", "dot"),
    Look(_PURPLE, "bowtie", "dashdot"),
    Look(_GREEN, "hourglass", "longdash"),
)


def looks(inits: Iterable[str]) -> dict[str, Look]:
    """A look for each init: its fixed one, else a spare by alphabetical order of those that have none.

    A variant ("dyck:8") has the colour of its kind, with a mark of its own.
    """
    names = list(dict.fromkeys(inits))
    chosen = {name: INIT_LOOKS[name] for name in names if name in INIT_LOOKS}
    rest = sorted(name for name in names if kind_of(name) not in INIT_LOOKS)
    chosen |= {name: _SPARE[i % len(_SPARE)] for i, name in enumerate(rest)}
    for kind, own in INIT_LOOKS.items():
        variants = sorted(name for name in names if kind_of(name) == kind and name != kind)
        marks = (replace(own, symbol=f"{own.symbol}-open"), *_SPARE)
        for i, name in enumerate(variants):
            mark = marks[i % len(marks)]
            chosen[name] = replace(own, symbol=mark.symbol, dash=mark.dash)
    return {name: chosen[name] for name in names}


def kind_of(init: str) -> str:
    """What kind of init it is, without its argument: "dyck:8" -> "dyck"."""
    return re.split(r"[:+]", init, maxsplit=1)[0]


def train_set_text(name: str) -> str:
    """A train set in few words: "fpt + attention" and "full − layernorm" where it is close to a preset.

    What the name says is kept: groups are added to, or left out of, the preset with the fewest differences.
    """
    groups = name.split("+")
    if name in TRAIN_SETS:
        return name
    near = {preset: set(own) ^ set(groups) for preset, own in TRAIN_SETS.items() if preset in _BASES}
    preset, differing = min(near.items(), key=lambda item: len(item[1]))
    if len(differing) > 1:
        return name.replace("+", " + ")
    (group,) = differing
    return f"{preset} {'+' if group in groups else '−'} {group}"


def label(text: object) -> str:
    """Text from data made safe for Plotly, which reads a little HTML in every label."""
    return html.escape(str(text), quote=False)


def transparent(colour: str, alpha: float) -> str:
    """A hex colour as rgba() with the given opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def percent(value: float, digits: int = 1) -> str:
    """A fraction as percent: 0.8312 -> "83.1 %"."""
    return f"{100 * value:.{digits}f} %"


def points(value: float, digits: int = 1) -> str:
    """A difference of fractions in percentage points, without sign loss: -0.012 -> "−1.2"."""
    rounded = round(100 * value, digits) + 0.0  # no "-0.0"
    return f"{rounded:.{digits}f}".replace("-", "−")


DARK_COLOURS = {
    _BLUE: "#3d9fe0",
    _GREEN: "#2cc295",
    _VERMILLION: "#f07c35",
    _PURPLE: "#dd9abc",
    _BLACK: "#f4f4f4",
    _WINE: "#c8487f",
    _INDIGO: "#9a92f5",
}
"""Lighter forms of the darker colours for the dark page, hue kept."""


def template(*, dark: bool = False) -> dict[str, object]:
    """The `layout.template` of every figure: quiet grid, no box, print-sized type; light or dark."""
    ink, grid = ("#e8e8e8", "#3a3f47") if dark else ("#1c2330", "#e3e6eb")
    axis = {
        "gridcolor": grid,
        "linecolor": NEUTRAL,
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": NEUTRAL,
        "ticklen": 4,
        "title": {"standoff": 8, "font": {"size": 13}},
        "automargin": True,
    }
    background = "rgba(0,0,0,0)" if dark else "#ffffff"
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": ink},
            "paper_bgcolor": background,
            "plot_bgcolor": background,
            "xaxis": {**axis, "showgrid": False},
            "yaxis": axis,
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "font": {"size": 13},
            },
            "hoverlabel": {"font": {"family": FONT, "size": 13}},
            "margin": {"l": 64, "r": 16, "t": 72, "b": 56},
        }
    }
