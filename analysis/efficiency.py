"""What accuracy costs: operations and seconds of every variant of the ladders, and which of them no other beats.

Operations are those of training, seconds those of updates (a run's share of its pack's); evaluation is in neither, and
nor is the making of a pretrained body, which its card has and which a body is made for once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.axes import Series
from analysis.scaling_figure import ticks
from analysis.speed import VARIANT
from analysis.stats import crossed_interval, t_interval

COSTS = {"train_flops": "training operations (FLOP)", "wall_seconds": "seconds of updates (s)"}
_LEAST = 0.005
"""Accuracy above the floor (fraction) from which on a cost per point means anything."""
COLUMNS = (
    "task", "protocol", "train_set", "init", "size", "num_layers", "num_steps", "num_train_examples", "accuracy",
    "low", "high", "num_seeds", "num_runs", "chance", "floor", "train_flops", "wall_seconds", "flops_per_point",
    "flops_per_point_low", "flops_per_point_high", "seconds_per_point", "is_best_train_flops", "is_best_wall_seconds",
)  # fmt: skip


def runs_of(found: Sequence[Series]) -> pd.DataFrame:
    """The runs of all ladders, each once."""
    return pd.concat([one.runs for one in found]).drop_duplicates("run_id")


def table(found: Sequence[Series]) -> pd.DataFrame:
    """One row per variant of the ladders with a done run: accuracy, what it cost, and whether nothing beats it.

    Columns: task, protocol, train_set, init, size, num_layers, num_steps, num_train_examples; accuracy, low, high
    (test, fractions, mean with its t interval over seeds), num_seeds, num_runs, chance, floor; train_flops,
    wall_seconds (means); flops_per_point with its interval and seconds_per_point (cost over the percentage points
    above the best trivial predictor: geometric means over seeds; null where a run is less than half a point above);
    is_best_train_flops, is_best_wall_seconds (on the Pareto frontier of its task and protocol).
    """
    runs = runs_of(found) if found else pd.DataFrame(columns=[*VARIANT, "status"])
    done = runs[(runs["status"] == "done")].dropna(subset=["test_accuracy", *COSTS]) if len(runs) else runs
    groups = done.groupby(list(VARIANT), dropna=False, sort=False)
    rows = pd.DataFrame([_row(group) for _, group in groups], columns=list(COLUMNS))
    for cost in COSTS:
        for _, own in rows.groupby(["task", "protocol"]):
            rows.loc[own.index, f"is_best_{cost}"] = frontier(own[cost].to_numpy(), own["accuracy"].to_numpy())
    return rows


def frontier(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """[n] whether no other point costs as little or less and is at least as accurate, being better in one of them."""
    order = np.lexsort((-accuracy, cost))
    best, is_best = -np.inf, np.zeros(len(cost), dtype=bool)
    for i in order:
        is_best[i] = accuracy[i] > best
        best = max(best, accuracy[i])
    return is_best


def _row(group: pd.DataFrame) -> dict[str, Any]:
    first = group.iloc[0]
    seeds, bodies = group["seed"].tolist(), group["body_seed"].tolist()
    mean = crossed_interval(group["test_accuracy"], seeds=seeds, body_seeds=bodies, of="test accuracy")
    row = {name: first[name] for name in COLUMNS[:8]}
    floor = group[["chance_accuracy", "floor_accuracy"]].astype(float).max(axis=1)
    above = 100 * (group["test_accuracy"] - floor)
    prices = dict.fromkeys(("flops_per_point", "flops_per_point_low", "flops_per_point_high", "seconds_per_point"))
    if (above >= 100 * _LEAST).all():
        price = t_interval(np.log(group["train_flops"] / above), of="log of operations per point")
        ends = [None if end is None else float(np.exp(end)) for end in (price.estimate, price.low, price.high)]
        seconds = float(np.exp(np.log((group["wall_seconds"] / above).clip(lower=1e-9)).mean()))
        prices = dict(zip(prices, (*ends, seconds), strict=True))
    return {
        **row, "accuracy": mean.estimate, "low": mean.low, "high": mean.high, "num_seeds": mean.num_samples,
        "num_runs": len(group), "chance": group["chance_accuracy"].max(), "floor": group["floor_accuracy"].max(),
        **{cost: group[cost].mean() for cost in COSTS}, **prices, **{f"is_best_{cost}": False for cost in COSTS},
    }  # fmt: skip


def draw(rows: pd.DataFrame, *, columns: int = 2) -> go.Figure:
    """Accuracy against operations and against seconds, a mark per variant, and the frontier that nothing beats.

    Args:
        rows: rows of `table` of one task and protocol.
        columns: most panels beside each other.
    """
    assert rows["task"].nunique() == 1, "one figure per task"
    inits = load.order("init", rows["init"])
    shape = panels.grid(
        ["against operations", "against time"], columns=columns, panel_height=320, x_title="",
        y_title="test accuracy", num_entries=len(inits) + 3, note_lines=1,
    )  # fmt: skip
    looks, span = style.looks(inits), _span(rows)
    traces: list[dict[str, Any]] = []
    for cell, (cost, title) in zip(shape.cells, COSTS.items(), strict=True):
        usable = rows[rows[cost] > 0]
        if usable.empty:
            continue
        panel = shape.figure.get_subplot(*cell)
        at = ticks(usable[cost].min(), usable[cost].max())
        panel.xaxis.update(title={"text": title}, type="log", tickformat="~s", tickvals=at)
        panel.yaxis.update(range=span, tickformat=".0%", nticks=6)
        ends = [usable[cost].min(), usable[cost].max()]
        drawn = [*panels.reference_lines(usable, ends), _best(usable, cost)]
        for init in inits:
            for is_open in (False, True):
                mine = usable[(usable["init"] == init) & ((usable["train_set"] == "full") == is_open)]
                drawn += [_marks(mine, cost, looks[init], style.label(init), is_open)] if len(mine) else []
        traces += [{**trace, **shape.axes(cell)} for trace in drawn]
    shape.figure.add_traces(panels.named_once(traces))
    shape.figure.layout.legend.itemsizing = "constant"
    return shape.figure


def _span(rows: pd.DataFrame) -> list[float]:
    values = [value for name in ("accuracy", "chance", "floor") for value in rows[name].dropna()]
    margin = 0.06 * max(max(values) - min(values), 0.05)
    return [min(values) - margin, min(max(values) + margin, 1.02)]


def _best(rows: pd.DataFrame, cost: str) -> dict[str, Any]:
    best = rows[rows[f"is_best_{cost}"].astype(bool)].sort_values(cost)
    return {
        "type": "scatter", "x": best[cost].tolist(), "y": best["accuracy"].tolist(), "mode": "lines",
        "line": {"color": style.NEUTRAL, "width": 1.6, "shape": "hv"}, "name": "Pareto frontier",
        "legendgroup": "frontier", "legendrank": panels.LAST_RANK, "hoverinfo": "skip",
    }  # fmt: skip


def _marks(mine: pd.DataFrame, cost: str, look: style.Look, name: str, is_open: bool) -> dict[str, Any]:
    hover = [style.label(named(row)) for row in mine.to_dict("records")]
    best = mine[f"is_best_{cost}"].astype(bool)
    return {
        "type": "scatter",
        "x": mine[cost].tolist(),
        "y": mine["accuracy"].tolist(),
        "mode": "markers",
        "marker": {
            "color": look.colour, "symbol": f"{look.symbol}-open" if is_open else look.symbol,
            "size": np.where(best, 11, 7).tolist(), "opacity": np.where(best, 1.0, 0.55).tolist(),
        },
        "customdata": hover,
        "name": name,
        "legendgroup": name,
        "hovertemplate": f"{name} %{{y:.1%}} for %{{x:.3~s}}<br>%{{customdata}}<extra></extra>",
    }  # fmt: skip


def named(row: dict[str, Any]) -> str:
    """A variant in words: train set, body, steps, examples, seeds."""
    layers = "" if pd.isna(row["num_layers"]) else f", first {int(row['num_layers'])} layers"
    examples = "" if pd.isna(row["num_train_examples"]) else f", {int(row['num_train_examples']):,} examples"
    size = "checkpoint" if pd.isna(row["size"]) else row["size"]
    train_set = style.train_set_text(str(row["train_set"]))
    return f"{train_set}, {size}{layers}, {int(row['num_steps']):,} steps{examples}, {int(row['num_seeds'])} seeds"
