"""Overfitting along ladders: how far training accuracy is ahead of test accuracy, and where training should have ended.

Both accuracies are of the whole splits at the step of best validation accuracy, so that the gap is that of the model
which is reported; where training data are endless, the training split is a sample of the same distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.axes import AXES, Series
from analysis.scaling_figure import ticks
from analysis.stats import crossed_interval

GAP_AXES = ("size", "data", "trained")
"""What the gap is shown against, each with its ladders."""
_COLUMNS = (
    "axis", "task", "protocol", "train_set", "setting", "init", "rung", "x", "gap", "low", "high", "num_seeds",
    "num_runs", "train", "test", "selected_step", "num_steps", "method",
)  # fmt: skip
_PANEL = ["axis", "protocol", "train_set", "setting"]
_ASIDE = 0.006


def table(found: Sequence[Series]) -> pd.DataFrame:
    """One row per rung of the ladders of size, examples and trained parameters.

    Columns: axis, task, protocol, train_set, setting, init, rung, x; gap, low, high (training minus test accuracy at
    the selected step, fractions, with the t interval of its mean over seeds); num_seeds, num_runs; train, test (mean
    accuracies); selected_step, num_steps (means); method. Runs that are not done, or lack an accuracy, take no part.
    """
    rows = [row for one in found if one.axis.name in GAP_AXES for row in _rows(one)]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _rows(one: Series) -> list[dict[str, Any]]:
    done = one.runs[one.runs["status"] == "done"].dropna(subset=["train_accuracy", "test_accuracy", one.axis.x])
    rows = []
    for rung, runs in done.groupby(one.axis.rung[0], sort=False):
        seeds, bodies = runs["seed"].tolist(), runs["body_seed"].tolist()
        gaps = runs["train_accuracy"] - runs["test_accuracy"]
        interval = crossed_interval(gaps, seeds=seeds, body_seeds=bodies, of="training minus test accuracy")
        rows.append({
            "axis": one.axis.name, "task": one.task, "protocol": one.protocol, "train_set": one.train_set,
            "setting": one.setting, "init": one.init, "rung": str(rung), "x": float(runs[one.axis.x].mean()),
            "gap": interval.estimate, "low": interval.low, "high": interval.high, "num_seeds": interval.num_samples,
            "num_runs": len(runs), "train": runs["train_accuracy"].mean(), "test": runs["test_accuracy"].mean(),
            "selected_step": runs["selected_step"].mean(), "num_steps": runs["num_steps"].mean(),
            "method": interval.method,
        })  # fmt: skip
    return sorted(rows, key=lambda row: row["x"])


def draw(rows: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """A panel per ladder: the gap in percentage points against what the rungs differ in, a mark per rung.

    Args:
        rows: rows of `table` of one task.
        columns: most panels beside each other.
    """
    assert rows["task"].nunique() == 1, "one figure per task"
    inits = load.order("init", rows["init"])
    groups = sorted(rows.groupby(_PANEL, sort=False), key=lambda item: GAP_AXES.index(item[0][0]))
    titles = [_title(key) for key, _ in groups]
    shape = panels.grid(
        titles, columns=columns, panel_height=250, x_title="", y_title="train − test (points)",
        num_entries=len(inits) + 1, note_lines=1,
    )  # fmt: skip
    looks, span = style.looks(inits), _span(rows)
    traces: list[dict[str, Any]] = []
    for cell, (key, here) in zip(shape.cells, groups, strict=True):
        axis = next(axis for axis in AXES if axis.name == key[0])
        panel = shape.figure.get_subplot(*cell)
        at = ticks(here["x"].min(), here["x"].max())
        panel.xaxis.update(title={"text": axis.x_title}, type="log", tickformat="~s", tickvals=at)
        panel.yaxis.update(range=span)
        drawn = [_level(here), *(_marks(here, init, inits, looks) for init in inits if (here["init"] == init).any())]
        traces += [{**trace, **shape.axes(cell)} for trace in drawn]
    shape.figure.add_traces(panels.named_once(traces))
    return shape.figure


def _title(key: tuple[str, ...]) -> str:
    axis = next(axis for axis in AXES if axis.name == key[0])
    parts = (axis.title, style.train_set_text(key[2]) if key[2] else "", key[3])
    return " · ".join(part for part in parts if part)


def _span(rows: pd.DataFrame) -> list[float]:
    values = [100 * value for name in ("gap", "low", "high") for value in rows[name].dropna()]
    low, high = max(min([*values, 0.0]), -100.0), min(max([*values, 1.0]), 100.0)
    margin = 0.06 * (high - low)
    return [low - margin, high + margin]


def _level(here: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "scatter", "x": [here["x"].min(), here["x"].max()], "y": [0, 0], "mode": "lines",
        "line": {"color": style.NEUTRAL, "dash": "dot", "width": 1.5}, "name": "no gap", "legendgroup": "no gap",
        "legendrank": panels.LAST_RANK, "hoverinfo": "skip",
    }  # fmt: skip


def _marks(here: pd.DataFrame, init: str, inits: list[str], looks: dict[str, style.Look]) -> dict[str, Any]:
    mine, look, name = here[here["init"] == init], looks[init], style.label(init)
    is_open = mine["train_set"].iloc[0] == "full"
    aside = (here["x"].max() / here["x"].min()) ** (_ASIDE * (inits.index(init) - (len(inits) - 1) / 2))
    gap = 100 * mine["gap"]
    bars = [(100 * mine[end]).astype(float) for end in ("low", "high")]
    hover = [
        f"{row.rung}: train {row.train:.1%}, test {row.test:.1%}, {row.num_seeds} seeds" for row in mine.itertuples()
    ]
    return {
        "type": "scatter",
        "x": (mine["x"] * aside).tolist(),
        "y": gap.tolist(),
        "error_y": {
            "type": "data", "array": (bars[1] - gap).tolist(), "arrayminus": (gap - bars[0]).tolist(),
            "thickness": 1.4, "width": 3,
        },
        "mode": "lines+markers",
        "line": {"color": style.transparent(look.colour, 0.5), "width": 1.2, "dash": "dash" if is_open else "solid"},
        "marker": {"color": look.colour, "symbol": f"{look.symbol}-open" if is_open else look.symbol, "size": 9},
        "customdata": [style.label(text) for text in hover],
        "name": name,
        "legendgroup": name,
        "hovertemplate": f"{name} %{{y:.1f}} points<br>%{{customdata}}<extra></extra>",
    }  # fmt: skip


def learning(frames: load.Frames, found: Sequence[Series]) -> pd.DataFrame:
    """Accuracy by step at the fewest and the most examples of every data ladder, with the selected step.

    Columns: task, train_set, setting, examples, init, split (valid: the whole split; train: the batches since the
    evaluation before), step, accuracy (mean over done runs evaluated there), low, high (lowest and highest run),
    num_seeds, selected_step (mean over the runs of the step of best validation accuracy), chance, floor (accuracies).
    """
    parts, ladders = [], [one for one in found if one.axis.name == "data"]
    ids = {run_id for one in ladders for run_id in one.runs["run_id"]}
    curves = frames.curves[frames.curves["run_id"].isin(ids)]  # once: there may be millions
    for one in ladders:
        done = one.runs[one.runs["status"] == "done"]
        if done.empty:
            continue
        ends = {done["num_train_examples"].min(), done["num_train_examples"].max()}
        runs = done[done["num_train_examples"].isin(ends)]
        rows = curves.merge(runs[["run_id", "seed", "num_train_examples", "selected_step"]], on="run_id")
        group = rows.dropna(subset=["accuracy"]).groupby(["num_train_examples", "split", "step"], as_index=False)
        means = group.agg(mean=("accuracy", "mean"), low=("accuracy", "min"), high=("accuracy", "max"),
                          num_seeds=("seed", "nunique"))  # fmt: skip
        selected = runs.groupby("num_train_examples")["selected_step"].mean()
        means = means.rename(columns={"mean": "accuracy", "num_train_examples": "examples"})
        means = means.assign(task=one.task, train_set=one.train_set, setting=one.setting, init=one.init)
        levels = {name: done[f"{name}_accuracy"].astype(float).max() for name in ("chance", "floor")}
        parts.append(means.assign(selected_step=means["examples"].map(selected), **levels))
    columns = ["task", "train_set", "setting", "examples", "init", "split", "step", "accuracy", "low", "high",
               "num_seeds", "selected_step", "chance", "floor"]  # fmt: skip
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
