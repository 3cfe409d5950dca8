"""Test accuracy by task, train set and init: means over seeds with intervals, every seed, chance and floor lines."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.stats import crossed_interval

INTERVAL_TEXT = "95 % t interval of the mean over seeds (the wider of seeds and body seeds where both vary)"
_SPREAD = 0.78  # width of a group of inits around its train set, in distances between train sets


def table(frames: load.Frames) -> pd.DataFrame:
    """One row per setting, task, train set and init; cells without a single run are rows too.

    Columns: setting, task, train_set, init, mean, low, high (fractions; null without a finished run or with one
    seed), method, num_seeds, seed_accuracies (fractions, one per done run in order of seed), num_done, num_diverged,
    num_failed, num_missing, chance, floor (fractions; null where no run of the task recorded them).
    Accuracy is the test split's at the selected step; only done runs enter the mean, the others are counted.
    """
    key = ["setting", *load.CELL]
    results, num_missing = seed_results(frames.runs), frames.missing.groupby(key).size().to_dict()
    num_runs = frames.runs.groupby([*key, "status"]).size().to_dict()
    rows = []
    asked = pd.concat([frames.runs, frames.missing], ignore_index=True)
    for setting, runs in asked.groupby("setting", sort=True):
        levels = runs.groupby("task")[["chance_accuracy", "floor_accuracy"]].max().to_dict("index")
        for cell in itertools.product(*(load.order(name, runs[name]) for name in load.CELL)):
            here = (setting, *cell)
            row = dict(zip(key, here, strict=True)) | _estimate(results.get(here, []))
            row |= {f"num_{status}": num_runs.get((*here, status), 0) for status in ("done", "diverged", "failed")}
            row["num_missing"] = num_missing.get(here, 0)
            row |= {name: levels[cell[0]][f"{name}_accuracy"] for name in ("chance", "floor")}
            rows.append(row)
    return pd.DataFrame(rows).astype(dict.fromkeys(("mean", "low", "high", "chance", "floor"), float))


def seed_results(runs: pd.DataFrame) -> dict[tuple, list[tuple[int, int, float]]]:
    """(seed, body seed, test accuracy) of the done runs by (setting, task, train set, init), in order of seed."""
    done = runs[(runs["status"] == "done") & runs["test_accuracy"].notna()].sort_values(["seed", "body_seed"])
    found: dict[tuple, list[tuple[int, int, float]]] = {}
    columns = ["setting", *load.CELL, "seed", "body_seed", "test_accuracy"]
    for *cell, seed, body_seed, accuracy in done[columns].itertuples(index=False, name=None):
        found.setdefault(tuple(cell), []).append((seed, body_seed, accuracy))
    return found


def _estimate(results: list[tuple[int, int, float]]) -> dict[str, object]:
    if not results:
        nothing = dict.fromkeys(("mean", "low", "high"))
        return {**nothing, "method": "no finished run", "num_seeds": 0, "seed_accuracies": ()}
    seeds, body_seeds, accuracies = (list(column) for column in zip(*results, strict=True))
    interval = crossed_interval(accuracies, seeds=seeds, body_seeds=body_seeds, of="test accuracy")
    return {
        "mean": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "method": interval.method,
        "num_seeds": interval.num_samples,
        "seed_accuracies": tuple(accuracies),
    }


def draw(cells: pd.DataFrame, *, columns: int = 4) -> go.Figure:
    """A panel per task: train sets along x, inits side by side, a dot per seed, the mean with its interval.

    Args:
        cells: rows of `table` of one setting.
        columns: most panels beside each other.
    """
    assert cells["setting"].nunique() == 1, "one figure per setting"
    tasks, train_sets, inits = (load.order(name, cells[name]) for name in load.CELL)
    names = [style.train_set_text(name).replace(" +", "<br>+") for name in train_sets]
    shape = panels.grid(
        tasks,
        columns=columns,
        panel_height=300,
        x_title="trained parameter groups",
        y_title="test accuracy",
        num_entries=len(inits) + 2,
        note_lines=max(name.count("<br>") for name in names),
    )
    looks, step = style.looks(inits), _SPREAD / max(len(inits), 1)
    ends = [-0.55, len(train_sets) - 0.45]
    records: dict[tuple, list[dict[str, Any]]] = {}
    for record in cells.to_dict("records"):
        records.setdefault((record["task"], record["init"]), []).append(record)
    levels = dict(iter(cells.groupby("task", sort=False)))
    traces, notes, shades = [], [], []
    for cell, task in zip(shape.cells, tasks, strict=True):
        axes = shape.axes(cell)
        drawn = panels.reference_lines(levels[task], ends)
        for i, init in enumerate(inits):
            mine = records.get((task, init), [])
            places = [train_sets.index(each["train_set"]) + (i - (len(inits) - 1) / 2) * step for each in mine]
            drawn += _marks(mine, places, step / 2.6, looks[init])
            lacking = _notes(mine, places, looks[init])
            notes += [note | {"xref": axes["xaxis"], "yref": axes["yaxis"]} for note in lacking]
        traces += [trace | axes for trace in drawn]
        band = {"type": "rect", "xref": axes["xaxis"], "yref": f"{axes['yaxis']} domain", "y0": 0, "y1": 1}
        look = {"fillcolor": style.SHADE, "line": {"width": 0}, "layer": "below"}
        shades += [band | look | {"x0": i - 0.5, "x1": i + 0.5} for i in range(1, len(train_sets), 2)]
        panel = shape.figure.get_subplot(*cell)
        panels.adjust(
            panel.xaxis,
            tickvals=list(range(len(train_sets))),
            ticktext=["<br>".join(map(style.label, name.split("<br>"))) for name in names],
            range=ends,
        )
        panels.adjust(panel.yaxis, range=[0, 1.04], tickformat=".0%", dtick=0.25, showticklabels=cell[1] == 1)
    shape.figure.add_traces(panels.named_once(traces))
    shape.figure.layout.shapes = shades
    shape.annotate(notes)
    return shape.figure


def _marks(cells: list[dict[str, Any]], places: list[float], offset: float, look: style.Look) -> list[dict[str, Any]]:
    """A dot per seed, and the means with their intervals, of one init's cells at these x."""
    if not cells:
        return []
    init = cells[0]["init"]
    seeds = [(x + offset, value) for x, each in zip(places, cells, strict=True) for value in each["seed_accuracies"]]
    name = style.label(init)
    drawn = [(x, each) for x, each in zip(places, cells, strict=True) if pd.notna(each["mean"])]
    return [
        {
            "type": "scatter",
            "x": [x for x, _ in seeds],
            "y": [y for _, y in seeds],
            "mode": "markers",
            "marker": {"color": look.colour, "symbol": look.symbol, "size": 5, "opacity": 0.55},
            "name": name,
            "legendgroup": init,
            "showlegend": False,
            "hovertemplate": f"{name}, one seed: %{{y:.1%}}<extra></extra>",
        },
        {
            "type": "scatter",
            "x": [x for x, _ in drawn] or [None],
            "y": [each["mean"] for _, each in drawn] or [None],
            "error_y": {
                "type": "data",
                "array": [each["high"] - each["mean"] for _, each in drawn],
                "arrayminus": [each["mean"] - each["low"] for _, each in drawn],
                "thickness": 1.8,
                "width": 4,
            },
            "mode": "markers",
            "marker": {"color": look.colour, "symbol": look.symbol, "size": 11},
            "name": name,
            "legendgroup": init,
            "customdata": [style.label(f"{each['train_set']}: {each['method']}") for _, each in drawn],
            "hovertemplate": f"{name} %{{y:.1%}}<br>%{{customdata}}<extra></extra>",
        },
    ]


def _notes(cells: list[dict[str, Any]], places: list[float], look: style.Look) -> list[dict[str, Any]]:
    """What a cell lacks, written up from the foot of the panel."""
    return [
        {
            "x": x,
            "y": _clear_of([cell["chance"], cell["floor"]]),
            "text": gap,
            "textangle": -90,
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 11, "color": look.colour},
        }
        for x, cell in zip(places, cells, strict=True)
        if (gap := gap_text(cell))
    ]


def _clear_of(levels: list[float | None]) -> float:
    """Where a note at the foot of a panel begins: above reference lines that it would cross."""
    return 0.02 + max([level for level in levels if pd.notna(level) and level < 0.2], default=0.0)  # type: ignore[operator]


def gap_text(cell: Mapping[str, Any]) -> str:
    """What a cell lacks, from its counts: "not run", "1 diverged, 1 missing", or "" where nothing does."""
    counts = {word: cell[f"num_{word}"] for word in ("diverged", "failed", "missing")}
    if cell["num_missing"] and not (cell["num_done"] or cell["num_diverged"] or cell["num_failed"]):
        return "not run"
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
