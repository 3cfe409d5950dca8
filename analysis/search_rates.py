"""How much hangs on the learning rate: accuracy of each variant over a sweep, as in the critique's figure 1."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.search_frames import PANEL
from study.grids.cells import Scale
from study.grids.paper_settings import SETTINGS

BAND_TEXT = "lowest to highest seed"
_DASHES = {"fpt": "solid", "full": "dash", "output-only": "dot"}
_OPEN = ("full",)


def table(sweeps: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy over done seeds by learning rate, with the range over them, and how many diverged.

    Args:
        sweeps: of `analysis.search_frames.sweeps`.
    """
    key = [*PANEL, "scale", "train_set", "init", "variant", "lr"]
    done = sweeps["accuracy"].where(sweeps["status"] == "done")
    rows = sweeps.assign(done=done, has_diverged=sweeps["status"] == "diverged")
    groups = rows.groupby(key, dropna=False, sort=True)
    return groups.agg(
        accuracy=("done", "mean"),
        low=("done", "min"),
        high=("done", "max"),
        num_seeds=("done", "count"),
        num_diverged=("has_diverged", "sum"),
        chance=("chance", "max"),
        floor=("floor", "max"),
    ).reset_index()


def paper_rate(task: str, body: str, scale: str) -> float | None:
    """The learning rate as specified at this scale; None for a task that the paper does not have."""
    common = SETTINGS[Scale(scale)]
    if task not in common.tasks:
        return None
    return common.lstm_lr if body.startswith("lstm") else common.tasks[task].lr


def draw(rates: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """A panel per task (and protocol, body, size): accuracy over learning rate, one line per variant.

    Args:
        rates: rows of `table` of one metric.
        columns: most panels beside each other.
    """
    groups = list(rates.groupby(PANEL, dropna=False, sort=False))
    groups.sort(key=lambda group: load.order("task", rates["task"]).index(group[0][0]))
    variants = rates.drop_duplicates("variant")
    shape = panels.grid(
        [title(key, rates) for key, _ in groups],
        columns=columns,
        panel_height=230,
        x_title="learning rate",
        y_title=rates["metric"].iloc[0],
        num_entries=len(variants) + 4,
    )
    looks = style.looks(load.order("init", rates["init"]))
    for (row, column), (key, here) in zip(shape.cells, groups, strict=True):
        where = {"row": row, "col": column}
        for trace in panels.reference_lines(here, [here["lr"].min(), here["lr"].max()]):
            shape.figure.add_trace(trace, **where)
        for (train_set, init), line in here.groupby(["train_set", "init"], sort=False):
            for trace in _line(line.sort_values("lr"), looks[str(init)], str(train_set)):
                shape.figure.add_trace(trace, **where)
        usual = paper_rate(key[0], key[2], str(here["scale"].iloc[0]))
        if usual is not None and here["lr"].min() <= usual <= here["lr"].max():
            shape.figure.add_trace(_usual(usual, here), **where)
        ticks = panels.round_values(here["lr"].min(), here["lr"].max())
        names = [f"{value:g}" if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-") for value in ticks]
        shape.figure.update_xaxes(type="log", tickvals=ticks, ticktext=names, **where)
        shape.figure.update_yaxes(tickformat=".0%", nticks=6, **where)
    panels.name_once(shape.figure)
    return shape.figure


def title(key: tuple, rows: pd.DataFrame) -> str:
    """Task, and of protocol, body and size what varies."""
    varying = [name for name in PANEL[1:4] if rows[name].nunique(dropna=False) > 1]
    return " · ".join([key[0], *(str(key[PANEL.index(name)]) for name in varying)])


def _line(line: pd.DataFrame, look: style.Look, train_set: str) -> list[go.Scatter]:
    name = style.label(line["variant"].iloc[0])
    done = line[line["num_seeds"] > 0]
    rates, low, high = done["lr"].tolist(), done["low"].tolist(), done["high"].tolist()
    symbol = look.symbol + ("-open" if train_set in _OPEN and not look.symbol.endswith("-open") else "")
    shared = {"legendgroup": name, "name": name}
    band = go.Scatter(
        x=rates + rates[::-1],
        y=high + low[::-1],
        fill="toself",
        fillcolor=style.transparent(look.colour, 0.13),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        **shared,
    )
    mean = go.Scatter(
        x=rates,
        y=done["accuracy"].tolist(),
        mode="lines+markers",
        line={"color": look.colour, "dash": _DASHES.get(train_set, "dashdot"), "width": 2},
        marker={"symbol": symbol, "size": 7, "color": look.colour},
        customdata=done[["num_seeds", "num_diverged"]].to_numpy().tolist(),
        hovertemplate=f"{name}, lr %{{x:.3g}}: %{{y:.1%}}, mean of %{{customdata[0]}} seeds"
        ", %{customdata[1]} diverged<extra></extra>",
        **shared,
    )
    return [band, mean, *_diverged(line, done)]


def _diverged(line: pd.DataFrame, done: pd.DataFrame) -> list[go.Scatter]:
    """A cross where any seed diverged, at the mean of the others or at the bottom where there is none."""
    lost = line[line["num_diverged"] > 0]
    if lost.empty:
        return []
    bottom = float(done["low"].min()) if len(done) else 0.0
    return [
        go.Scatter(
            x=lost["lr"].tolist(),
            y=lost["accuracy"].fillna(bottom).tolist(),
            mode="markers",
            marker={
                "symbol": "x-thin",
                "size": 11,
                "color": style.NEUTRAL,
                "line": {"width": 2, "color": style.NEUTRAL},
            },
            name="some seeds diverged",
            legendgroup="diverged",
            legendrank=panels.LAST_RANK,
            customdata=lost["num_diverged"].tolist(),
            hovertemplate="lr %{x:.3g}: %{customdata} diverged<extra></extra>",
        )
    ]


def _usual(rate: float, here: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=[rate, rate],
        y=[here["low"].min(), here["high"].max()],
        mode="lines",
        line={"color": style.NEUTRAL, "dash": "longdash", "width": 1.5},
        name="as specified",
        legendgroup="as specified",
        legendrank=panels.LAST_RANK,
        hovertemplate="as specified: %{x:.3g}<extra></extra>",
    )
