"""What searches proposed and what it cost: every proposal by learning rate, and the best so far by updates spent."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, style
from analysis.search_frames import label

PANEL = ["task", "protocol", "body", "size"]
_STATES = {"complete": ("", 9), "pruned": ("-open", 6), "diverged": ("x-thin", 8)}
"""State -> marker, as an ending of the init's own where it begins with "-" or is empty, and its size in pixels."""
_DASHES = {"fpt": "solid", "full": "dash", "output-only": "dot"}


def best_so_far(trials: pd.DataFrame) -> pd.DataFrame:
    """Per search, after each proposal in the order of their ends: updates spent so far, and the best complete score.

    Proposals that were stopped early cost what they cost and can be no best; one that failed cost nothing.
    """
    ended = trials[trials["ended_at"].notna()].sort_values(["study", "ended_at", "number"]).copy()
    ended["spent"] = ended.groupby("study")["num_steps_done"].cumsum()
    complete = ended["score"].where(ended["state"] == "complete")
    ended["best"] = complete.groupby(ended["study"]).cummax()
    ended["best"] = ended.groupby("study")["best"].ffill()
    ended["name"] = _names(ended)
    names = [*PANEL, "scale", "study", "variant", "sampler", "train_set", "init", "name", "chance_accuracy"]
    return ended[[*names, "number", "state", "lr", "score", "spent", "best"]].reset_index(drop=True)


def draw(rows: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """A panel per task: the best complete proposal against the updates spent on all of them.

    Args:
        rows: of `best_so_far`.
        columns: most panels beside each other.
    """
    groups = _groups(rows, PANEL)
    shape = panels.grid(
        [_title(key, rows, PANEL) for key, _ in groups],
        columns=columns,
        panel_height=230,
        x_title="updates spent, all proposals and seeds",
        y_title="validation accuracy",
        num_entries=rows["name"].nunique() + 1,
    )
    looks = style.looks(load.order("init", rows["init"]))
    for (row, column), (_, here) in zip(shape.cells, groups, strict=True):
        where = {"row": row, "col": column}
        for trace in _levels(here, [0, here["spent"].max()]):
            shape.figure.add_trace(trace, **where)
        for _, study in here.groupby("study", sort=False):
            shape.figure.add_trace(_steps(study[study["best"].notna()], looks[study["init"].iloc[0]]), **where)
        shape.figure.update_xaxes(rangemode="tozero", nticks=5, **where)
        shape.figure.update_yaxes(tickformat=".0%", nticks=6, **where)
    panels.name_once(shape.figure)
    return shape.figure


def draw_proposals(trials: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """A panel per task and train set: what every proposal reached against its learning rate, by init.

    Args:
        trials: of `analysis.search_frames.read`, with a score.
        columns: most panels beside each other.
    """
    by = [*PANEL, "train_set"]
    groups = _groups(trials, by)
    shape = panels.grid(
        [_title(key, trials, by) for key, _ in groups],
        columns=min(columns, max(1, trials["train_set"].nunique())),
        panel_height=230,
        x_title="learning rate",
        y_title="validation accuracy",
        num_entries=trials["init"].nunique() + 3,
    )
    looks = style.looks(load.order("init", trials["init"]))
    for (row, column), (_, here) in zip(shape.cells, groups, strict=True):
        where = {"row": row, "col": column}
        for trace in _levels(here, [here["lr"].min(), here["lr"].max()]):
            shape.figure.add_trace(trace, **where)
        for init in load.order("init", here["init"]):
            for trace in _proposals(here[here["init"] == init], looks[init]):
                shape.figure.add_trace(trace, **where)
        ticks = panels.round_values(here["lr"].min(), here["lr"].max())
        names = [f"{tick:g}" for tick in ticks]
        shape.figure.update_xaxes(type="log", tickvals=ticks, ticktext=names, **where)
        shape.figure.update_yaxes(tickformat=".0%", nticks=6, **where)
    panels.name_once(shape.figure)
    return shape.figure


def _groups(rows: pd.DataFrame, by: list[str]) -> list[tuple[tuple, pd.DataFrame]]:
    """Panels in the order of tasks, then of train sets."""
    groups = list(rows.groupby(by, dropna=False, sort=False))
    tasks, train_sets = load.order("task", rows["task"]), load.order("train_set", rows["train_set"])
    has_train_set = "train_set" in by
    return sorted(groups, key=lambda group: (
        tasks.index(group[0][0]), train_sets.index(group[0][-1]) if has_train_set else 0
    ))  # fmt: skip


def _title(key: tuple, rows: pd.DataFrame, by: list[str]) -> str:
    varying = [name for name in by[1:] if name == "train_set" or rows[name].nunique(dropna=False) > 1]
    return " · ".join([str(key[0]), *(str(key[by.index(name)]) for name in varying)])


def _names(rows: pd.DataFrame) -> list[str]:
    return [label(*pair) for pair in zip(rows["train_set"], rows["init"], strict=True)]


def _levels(here: pd.DataFrame, ends: list[float]) -> list[go.Scatter]:
    """Chance; what the best trivial predictor reaches is known of the test split only, which a search does not read."""
    return panels.reference_lines(pd.DataFrame({"chance": here["chance_accuracy"], "floor": None}), ends)


def _steps(known: pd.DataFrame, look: style.Look) -> go.Scatter:
    name = style.label(known["name"].iloc[0]) if len(known) else ""
    is_new = [index == 0 or value > known["best"].iloc[index - 1] for index, value in enumerate(known["best"])]
    dash = _DASHES.get(known["train_set"].iloc[0], "dashdot") if len(known) else "solid"
    return go.Scatter(
        x=known["spent"].tolist(),
        y=known["best"].tolist(),
        mode="lines+markers",
        line={"color": look.colour, "dash": dash, "width": 2, "shape": "hv"},
        marker={"size": [8 if new else 0 for new in is_new], "color": look.colour, "symbol": look.symbol, "opacity": 1},
        name=name,
        legendgroup=name,
        showlegend=bool(name),
        customdata=known["number"].tolist(),
        hovertemplate=f"{name}, after proposal %{{customdata}}: %{{y:.1%}} for %{{x:,}} updates<extra></extra>",
    )


def _proposals(mine: pd.DataFrame, look: style.Look) -> list[go.Scatter]:
    traces = []
    for state, (ending, size) in _STATES.items():
        rows = mine[(mine["state"] == state) & mine["score"].notna()]
        if rows.empty:
            continue
        is_complete, name = state == "complete", style.label(rows["init"].iloc[0])
        symbol = look.symbol.removesuffix("-open") + ending if not ending or ending.startswith("-") else ending
        trace = go.Scatter(
            x=rows["lr"].tolist(),
            y=rows["score"].tolist(),
            mode="markers",
            marker={"symbol": symbol, "size": size, "color": look.colour, "line": {"width": 1.5, "color": look.colour}},
            error_y=_bars(rows) if is_complete else None,
            opacity=1.0 if is_complete else 0.6,
            name=name,
            legendgroup=name,
            customdata=rows[["number", "num_steps_done"]].to_numpy().tolist(),
            hovertemplate=f"{name}, proposal %{{customdata[0]}}, {state} after %{{customdata[1]:,}} updates, "
            "lr %{x:.3g}: %{y:.1%}<extra></extra>",
        )
        trace.showlegend = None if is_complete else False
        traces.append(trace)
    return traces


def _bars(complete: pd.DataFrame) -> dict[str, object]:
    """From the lowest to the highest seed."""
    low, high = (complete["seed_accuracies"].map(pick) for pick in (min, max))
    return {
        "type": "data",
        "symmetric": False,
        "array": (high - complete["score"]).tolist(),
        "arrayminus": (complete["score"] - low).tolist(),
        "thickness": 1.2,
        "width": 0,
    }
