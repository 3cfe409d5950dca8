"""The critique's learning-rate sweep (its figure 1): test accuracy of its four variants at every learning rate."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from analysis import panels, style
from analysis.cell_estimates import Record
from analysis.pictures import Picture, forms
from analysis.stats import crossed_interval
from analysis.tables import Ledger
from study.grids.cells import Scale
from study.grids.paper_settings import SETTINGS
from study.grids.tables import cells
from study.spec import Protocol, RunSpec

_STATUSES = ("diverged", "failed")
_FROZEN = "fpt"
_BESIDE = 1.07  # factor between the variants along x, so that their bars stand beside each other


def table(ledger: Ledger, scale: Scale) -> pd.DataFrame:
    """One row per task, protocol, variant and learning rate of which a run has ended.

    Columns: panel (task, and protocol where the two differ), task, variant, init, train_set, lr, mean, low, high (test
    accuracy, fractions; null without a finished run, or with one), method, valid (mean validation accuracy), num_done,
    num_diverged, num_failed, chance, floor.
    """
    rows = []
    for cell in cells("C1", scale):
        for protocol in Protocol:
            differ = len({run.protocol for run in cell.runs}) > 1
            runs = [run for run in cell.runs if run.protocol == protocol]
            panel = f"{cell.column}, {protocol}" if differ else cell.column
            by_rate: dict[float, list[RunSpec]] = {}
            for run in runs:
                by_rate.setdefault(run.lr, []).append(run)
            for lr, members in by_rate.items():
                found, _ = ledger.of(run.run_id for run in members)
                if found:
                    rows.append(
                        {"panel": panel, "variant": cell.row, **_identity(members[0]), **_estimate(found)} | {"lr": lr}
                    )
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    *("panel", "task", "variant", "init", "train_set", "lr", "mean", "low", "high", "method", "valid"),
    *("num_done", "num_diverged", "num_failed", "chance", "floor"),
)


def _identity(run: RunSpec) -> dict[str, object]:
    return {"task": run.task, "init": run.init, "train_set": run.train_set_name}


def _estimate(found: list[Record]) -> dict[str, object]:
    counts = {f"num_{status}": sum(row["status"] == status for row in found) for status in _STATUSES}
    done = [row for row in found if row["status"] == "done"]
    levels = pd.DataFrame(found)[["chance_accuracy", "floor_accuracy"]].max()
    shared = {"num_done": len(done), **counts, "chance": levels.iloc[0], "floor": levels.iloc[1]}
    if not done:
        return shared
    interval = crossed_interval(
        [row["test_accuracy"] for row in done],
        seeds=[row["seed"] for row in done],
        body_seeds=[row["body_seed"] for row in done],
        of="mean test accuracy",
    )
    valid = sum(row["valid_accuracy"] for row in done) / len(done)
    ends = {"mean": interval.estimate, "low": interval.low, "high": interval.high, "method": interval.method}
    return {**shared, **ends, "valid": valid}


def picture(ledger: Ledger, scale: Scale) -> Picture | None:
    """The sweep at one scale; None where it has fewer than two learning rates."""
    rows = table(ledger, scale)
    if rows["lr"].nunique() < 2:
        return None
    most = int(rows["num_done"].max())
    caption = (
        "Test accuracy at the step of best validation accuracy, by learning rate. Mark: mean of the runs that ended as "
        "asked; bar: 95 % t interval over seeds, or over bodies where that is wider; at most "
        f"{most} runs a mark; variants of one rate stand side by side. "
        "Filled marks and solid lines: all parameters trained; open marks and dashed lines: FPT. "
        "A cross at the foot: runs diverged at that rate. Vertical line: the learning rate of the paper's tables at "
        "this scale. Horizontal lines: chance and best trivial predictor."
    )
    alt = f"Test accuracy against learning rate, a panel for each of {', '.join(rows['panel'].unique())}."
    drawn = forms(lambda columns: draw(rows, scale, columns=columns), 3)
    return Picture(f"sweep-{scale}", caption, alt, rows, drawn)


def draw(rows: pd.DataFrame, scale: Scale, *, columns: int) -> go.Figure:
    """A panel per task and protocol, a line per variant."""
    names = list(rows["panel"].unique())
    shape = panels.grid(
        names,
        columns=columns,
        panel_height=260,
        x_title="learning rate",
        y_title="test accuracy",
        num_entries=rows["variant"].nunique() + 4,
    )
    looks = style.looks(rows["init"].unique())
    ends = [rows["lr"].min() / 1.5, rows["lr"].max() * 1.5]
    for (row, column), name in zip(shape.cells, names, strict=True):
        here = rows[rows["panel"] == name]
        where = {"row": row, "col": column}
        for line in (*panels.reference_lines(here, ends), _papers_rate(here["task"].iloc[0], scale)):
            shape.figure.add_trace(line, **where)
        for i, (variant, mine) in enumerate(here.groupby("variant", sort=False)):
            beside = mine.sort_values("lr").assign(x=mine["lr"] * _BESIDE**i)
            for trace in _traces(str(variant), beside, looks[mine["init"].iloc[0]]):
                shape.figure.add_trace(trace, **where)
        shape.figure.update_xaxes(type="log", tickformat=".0e", dtick=1, **where)
        shape.figure.update_yaxes(range=[0, 1.04], tickformat=".0%", dtick=0.25, showticklabels=column == 1, **where)
    panels.name_once(shape.figure)
    return shape.figure


def _papers_rate(task: str, scale: Scale) -> go.Scatter:
    rate = SETTINGS[scale].tasks[task].lr
    return go.Scatter(
        x=[rate, rate],
        y=[0, 1],
        mode="lines",
        line={"color": style.NEUTRAL, "dash": "longdashdot", "width": 1},
        name="the paper's rate",
        legendgroup="the paper's rate",
        legendrank=panels.LAST_RANK,
        hovertemplate="the paper's rate, %{x}<extra></extra>",
    )


def _traces(variant: str, rows: pd.DataFrame, look: style.Look) -> list[go.Scatter]:
    is_frozen = rows["train_set"].iloc[0] == _FROZEN
    known = rows[rows["mean"].notna()]
    low, high = (known[end].astype(float).fillna(known["mean"]) for end in ("low", "high"))
    line = go.Scatter(
        x=known["x"].tolist() or [None],
        y=known["mean"].tolist() or [None],
        error_y={
            "type": "data",
            "array": (high - known["mean"]).tolist(),
            "arrayminus": (known["mean"] - low).tolist(),
            "thickness": 1.5,
            "width": 3,
        },
        mode="lines+markers",
        line={"color": look.colour, "dash": "dash" if is_frozen else "solid", "width": 1.8},
        marker={"color": look.colour, "symbol": f"{look.symbol}-open" if is_frozen else look.symbol, "size": 8},
        name=style.label(variant),
        legendgroup=variant,
        customdata=[f"{row.lr:g}: {row.mean:.1%}, {row.method}" for row in known.itertuples()],
        hovertemplate=f"{style.label(variant)} at %{{customdata}}<extra></extra>",
    )
    lost = rows[rows["num_diverged"] > 0]
    cross = go.Scatter(
        x=lost["x"].tolist(),
        y=[0.03] * len(lost),
        mode="markers",
        marker={"color": look.colour, "symbol": "x-thin", "size": 8, "line": {"color": look.colour, "width": 2}},
        name=style.label(variant),
        legendgroup=variant,
        showlegend=False,
        customdata=[f"{row.lr:g}: {row.num_diverged} diverged" for row in lost.itertuples()],
        hovertemplate=f"{style.label(variant)} at %{{customdata}}<extra></extra>",
    )
    return [line, cross]
