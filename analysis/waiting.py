"""How long runs take to a level of accuracy: the share that is not there yet, with runs that ended before counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.axes import Series
from analysis.convergence import CLOCKS, kaplan_meier, reached
from analysis.efficiency import runs_of
from analysis.speed import VARIANT

SHARE = 0.5
"""The level: this share of the way from the best trivial predictor to the best mean validation accuracy of the task."""
_MIN_RUNS = 6
"""Of a curve: of fewer there is a mean time (`analysis.speed`), not a share of runs."""
_GROUP = ["task", "protocol", "train_set", "init"]
_COLUMNS = (
    *_GROUP, "clock", "level", "time", "share", "low", "high", "num_at_risk", "num_runs", "num_arrived", "median",
    "median_low", "median_high",
)  # fmt: skip


def levels(runs: pd.DataFrame) -> pd.Series:
    """By run id the validation accuracy (fraction) that counts as having got there; one for each task and protocol."""
    done = runs[(runs["status"] == "done") & runs["best_valid_accuracy"].notna()]
    own = ["task", "protocol"]
    variant = done.groupby(list(VARIANT), dropna=False)["best_valid_accuracy"]
    best = done.assign(mean=variant.transform("mean")).groupby(own)["mean"].max()
    floor = done.assign(floor=done[["chance_accuracy", "floor_accuracy"]].max(axis=1)).groupby(own)["floor"].max()
    level = (floor + SHARE * (best - floor)).rename("level")
    return runs.merge(level, left_on=own, right_index=True).set_index("run_id")["level"].astype(float).dropna()


def table(frames: load.Frames, found: Sequence[Series]) -> pd.DataFrame:
    """Kaplan and Meier's share of runs that are not at the level yet, over steps, operations and seconds.

    For each task and train set only variants that every init has, so that all curves are of the same mixture of sizes,
    examples and steps.

    Columns: task, protocol, train_set, init, clock (of `CLOCKS`), level; time, share, low, high, num_at_risk (one row
    per event; the first at time 0); num_runs, num_arrived, median, median_low, median_high (null where not seen).
    """
    runs = _matched(runs_of(found)) if found else pd.DataFrame(columns=["run_id", *VARIANT])
    if runs.empty:
        return pd.DataFrame(columns=list(_COLUMNS))
    times = reached(frames.curves, runs, levels(runs)).merge(runs[["run_id", *_GROUP]], on="run_id")
    rows = []
    for key, own in times.groupby(_GROUP, sort=False):
        for clock in CLOCKS if len(own) >= _MIN_RUNS else ():
            found_ = kaplan_meier(own[clock], own["is_reached"])
            about = dict(zip(_GROUP, key, strict=True)) | {
                "clock": clock, "level": own["level"].iloc[0], "num_runs": found_.num_runs,
                "num_arrived": found_.num_arrived, "median": found_.median, "median_low": found_.median_low,
                "median_high": found_.median_high,
            }  # fmt: skip
            rows += [about | row for row in found_.curve.drop(columns="num_arrived").to_dict("records")]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _matched(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of variants that all inits of their task and train set have, two inits at least."""
    alive = runs[runs["status"] != "failed"]
    own = ["task", "protocol", "train_set"]
    key = [name for name in VARIANT if name != "init"]
    has = alive.groupby(key, dropna=False)["init"].transform("nunique")
    most = has.groupby([alive[name] for name in own]).transform("max")
    return alive[(has == most) & (has > 1)]


def draw(rows: pd.DataFrame, *, columns: int = 2) -> go.Figure:
    """A panel per train set: the share of runs that are not there yet over gradient steps, with its interval.

    Args:
        rows: rows of `table` of one task and clock.
        columns: most panels beside each other.
    """
    assert rows["task"].nunique() == rows["clock"].nunique() == 1, "one figure per task and clock"
    inits, train_sets = load.order("init", rows["init"]), load.order("train_set", rows["train_set"])
    unit = CLOCKS[str(rows["clock"].iloc[0])]
    shape = panels.grid(
        [style.train_set_text(name) for name in train_sets], columns=columns, panel_height=250, x_title=unit,
        y_title="share not there yet", num_entries=len(inits),
    )  # fmt: skip
    looks = style.looks(inits)
    traces: list[dict[str, Any]] = []
    for cell, train_set in zip(shape.cells, train_sets, strict=True):
        panel = shape.figure.get_subplot(*cell)
        panel.yaxis.update(range=[-0.03, 1.05], tickformat=".0%")
        panel.xaxis.update(rangemode="tozero", nticks=6)
        for init in inits:
            mine = rows[(rows["train_set"] == train_set) & (rows["init"] == init)]
            if len(mine):
                drawn = _curve(mine, rows["time"].max(), looks[init], style.label(init), train_set == "full")
                traces += [{**trace, **shape.axes(cell)} for trace in drawn]
    shape.figure.add_traces(panels.named_once(traces))
    return shape.figure


def _curve(mine: pd.DataFrame, end: float, look: style.Look, name: str, is_open: bool) -> list[dict[str, Any]]:
    time = [*mine["time"], end]
    share, low, high = ([*mine[column], mine[column].iloc[-1]] for column in ("share", "low", "high"))
    stairs = {"type": "scatter", "x": time, "name": name, "legendgroup": name, "mode": "lines"}
    counts = f"{int(mine['num_arrived'].iloc[0])} of {int(mine['num_runs'].iloc[0])} runs arrived"
    edge = {"width": 0, "shape": "hv"}
    # Without an interval (none or all arrived) the band is as thin as the curve.
    bounds = [[value if pd.isna(one) else one for one, value in zip(some, share, strict=True)] for some in (low, high)]
    return [
        {**stairs, "y": bounds[0], "line": edge, "showlegend": False, "hoverinfo": "skip"},
        {
            **stairs, "y": bounds[1], "line": edge, "fill": "tonexty", "showlegend": False, "hoverinfo": "skip",
            "fillcolor": style.transparent(look.colour, 0.14),
        },
        {
            **stairs, "y": share,
            "line": {"color": look.colour, "width": 2.2, "shape": "hv", "dash": "dash" if is_open else "solid"},
            "hovertemplate": f"{name} %{{y:.0%}} after %{{x:,.4~s}}<br>{counts}<extra></extra>",
        },
    ]  # fmt: skip
