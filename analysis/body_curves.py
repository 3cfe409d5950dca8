"""Learning curves of pretraining: the held-out figure of merit against tokens seen, one line per body."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.body_cards import Bodies

MOST_DRAWN = 40
"""Bodies whose curves are drawn, the most used ones."""
_LOG_FROM = 20
"""Ratio between the longest and the shortest pretraining from which the axis of tokens is logarithmic."""
_DASHES = ("solid", "dot", "dashdot", "longdash", "longdashdot")  # "dash" is the trivial predictor's
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x")
_COLUMNS = [
    *("init", "metric", "architecture", "seed", "key", "step", "num_tokens", "held_out_metric", "baseline_metric"),
    *("is_better_lower", "num_runs"),
]


def table(bodies: Bodies) -> pd.DataFrame:
    """One row per point of each body's curve, in the units of the body's metric; baseline null where unknown."""
    cards = bodies.cards.rename(columns={"held_out_metric": "final"}).dropna(subset=["metric"])
    joined = cards.assign(architecture=architecture(cards)).merge(bodies.curves, on="key")
    return joined.sort_values(["init", "metric", "architecture", "seed", "key", "step"], ignore_index=True)[_COLUMNS]


def architecture(cards: pd.DataFrame) -> pd.Series:
    """Body and size in words."""
    return cards["body"].fillna("unknown body") + cards["size"].map(lambda size: "" if pd.isna(size) else f" {size}")


def drawn(curves: pd.DataFrame) -> pd.DataFrame:
    """The rows of the bodies that are drawn."""
    bodies = curves.drop_duplicates("key").sort_values(["num_runs", "key"], ascending=[False, True])
    return curves[curves["key"].isin(bodies["key"].head(MOST_DRAWN))]


def is_logarithmic(curves: pd.DataFrame) -> bool:
    """Whether the axis of tokens is; the untrained model, at 0 tokens, is then not drawn."""
    longest = curves.groupby("key")["num_tokens"].max()
    return bool(longest.min() > 0 and longest.max() >= _LOG_FROM * longest.min())


def draw(curves: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """A panel per init and metric, since figures of different data do not compare; one dash and marker per body.

    Args:
        curves: rows of `table`.
        columns: most panels beside each other.
    """
    inits = load.order("init", curves["init"])
    pairs = [
        (init, metric) for init in inits for metric in sorted(curves.loc[curves["init"] == init, "metric"].unique())
    ]
    names = sorted(curves["architecture"].unique())
    shape = panels.grid(
        [_title(curves[(curves["init"] == init) & (curves["metric"] == metric)]) for init, metric in pairs],
        columns=columns,
        panel_height=230,
        x_title="tokens seen",
        y_title="held-out figure of merit",
        num_entries=len(names) + 1,
    )
    looks = style.looks(inits)
    as_log = is_logarithmic(curves)
    shown = curves[curves["num_tokens"] > 0] if as_log else curves
    low, high = shown["num_tokens"].min(), shown["num_tokens"].max()
    for (row, column), (init, metric) in zip(shape.cells, pairs, strict=True):
        here = shown[(shown["init"] == init) & (shown["metric"] == metric)]
        where = {"row": row, "col": column}
        for i, name in enumerate(names):
            mine = here[here["architecture"] == name]
            if len(mine):
                shape.figure.add_trace(_lines(mine, looks[init].colour, i), **where)
        for level in here["baseline_metric"].dropna().unique():
            shape.figure.add_trace(_baseline(level, [low, high], metric), **where)
        shape.figure.update_yaxes(tickformat=_format(metric), nticks=6, **where)
    if as_log:
        ends = [math.log10(low) - 0.1, math.log10(high) + 0.1]
        shape.figure.update_xaxes(type="log", range=ends, tickvals=panels.round_values(low, high), tickformat="~s")
    else:
        shape.figure.update_xaxes(range=[-0.02 * high, 1.03 * high], nticks=5, tickformat="~s")
    for i, name in enumerate(names):
        shape.figure.add_trace(_entry(name, i), row=1, col=1)
    panels.name_once(shape.figure)
    return shape.figure


def metric_text(value: float, metric: str | None) -> str:
    """A figure of merit with its unit: "1.98 bits per byte", "98.6 % accuracy"."""
    if metric is None:
        return f"{value:.4g}"
    return f"{style.percent(value)} {words(metric)}" if _is_fraction(metric) else f"{value:.4g} {words(metric)}"


def words(metric: str) -> str:
    """Name of a metric as words."""
    return metric.replace("_", " ")


def _is_fraction(metric: str) -> bool:
    return metric.endswith("accuracy")


def _format(metric: str) -> str:
    return ".0%" if _is_fraction(metric) else ".3~g"


def _title(curves: pd.DataFrame) -> str:
    first = curves.iloc[0]
    better = {True: " ↓", False: " ↑"}.get(first["is_better_lower"], "")
    return f"{first['init']}: {words(first['metric'])}{better}"


def _lines(curves: pd.DataFrame, colour: str, i: int) -> go.Scatter:
    """All bodies of one architecture as one trace, with gaps between them."""
    x, y, texts = [], [], []
    for key, points in curves.groupby("key", sort=False):
        x += [*points["num_tokens"], None]
        y += [*points["held_out_metric"], None]
        seed = points["seed"].iloc[0]
        texts += [key if pd.isna(seed) else f"seed {int(seed)}"] * (len(points) + 1)
    first = curves.iloc[0]
    name = style.label(f"{first['init']}, {first['architecture']}")
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": colour, "dash": _DASHES[i % len(_DASHES)], "width": 2},
        marker={"color": colour, "symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 6},
        customdata=[style.label(text) for text in texts],
        showlegend=False,
        name=name,
        hovertemplate=f"{name}, %{{customdata}}<br>%{{x:.3s}} tokens: %{{y:.4g}}<extra></extra>",
    )


def _baseline(level: float, ends: list[float], metric: str) -> go.Scatter:
    return go.Scatter(
        x=ends,
        y=[level, level],
        mode="lines",
        line={"color": style.NEUTRAL, "dash": "dash", "width": 1.5},
        name="trivial predictor",
        legendrank=panels.LAST_RANK,
        hovertemplate=f"trivial predictor: {style.label(metric_text(level, metric))}<extra></extra>",
    )


def _entry(name: str, i: int) -> go.Scatter:
    """The legend's entry of an architecture, in no init's colour."""
    return go.Scatter(
        x=[None],
        y=[None],
        mode="lines+markers",
        line={"color": style.NEUTRAL, "dash": _DASHES[i % len(_DASHES)], "width": 2},
        marker={"color": style.NEUTRAL, "symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 6},
        name=style.label(name),
    )
