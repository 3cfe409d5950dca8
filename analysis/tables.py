"""The papers' tables, published beside measured: one row per cell of `study.grids.tables`, joined to runs by run id.

Only runs that ended as asked enter a mean; those that diverged, failed, are missing or were never asked for are counted
beside it. An interval is the 95 % t interval over seeds; where bodies and seeds are crossed it is the wider of those
over the means of seeds and over the means of bodies (`analysis.stats.crossed_interval`), and `method` says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import cell_estimates, load, published
from analysis.cell_estimates import Found, Record
from analysis.settings import AS_SPECIFIED, TUNED
from models import sizes
from study import tuned
from study.grids import tables as grids
from study.grids.cells import Cell, Metric, Scale, runs_under
from study.spec import RunSpec

OUTSIDE, INSIDE, NO_INTERVAL = "outside", "inside", "no interval"
"""Where the published number lies: outside or inside the interval of the measured one."""
_STATUSES = ("done", "diverged", "failed")


def table(frames: load.Frames, name: str, *, scale: str, protocol: str, tuning: str = AS_SPECIFIED) -> pd.DataFrame:
    """One table at one scale, under one protocol.

    Args:
        frames: the ledger.
        name: key of `study.grids.tables.TABLES`.
        scale: "full" or "small".
        protocol: "paper" or "fixed"; a task and body that do the same under both are the same runs here.
        tuning: `TUNED` looks for the runs with the settings that a search of this ledger found.

    Returns:
        One row per cell: table, row, column, metric, task, published, published_high, published_sem, confidence, note
        (null and "" without a published number; accuracies in percent), estimate, low, high, method, bound ("≥" or "≤"
        where the estimate is one), lr (the chosen one of a sweep), before_divergence (mean test accuracy of diverged
        runs at their best step), chance, floor (percent), num_done, num_diverged, num_failed, num_missing (asked for,
        no row), num_not_asked, formula (trained parameters by the paper's count), differs (`OUTSIDE`, ...; null without
        both numbers).

    Raises:
        UserError: a damaged setting of a search.
    """
    return table_of(Ledger(frames), name, scale=scale, protocol=protocol, tuning=tuning)


class Ledger:
    """A ledger by run id, prepared once for many tables."""

    def __init__(self, frames: load.Frames) -> None:
        columns = list(cell_estimates.COLUMNS)
        self.frames = frames
        self.rows: dict[str, Record] = {row["run_id"]: row for row in frames.runs[columns].to_dict("records")}
        self.missing = frozenset(frames.missing["run_id"])

    def has(self, run_id: str) -> bool:
        """Whether a launch asked for this run."""
        return run_id in self.rows or run_id in self.missing

    def of(self, ids: Iterable[str]) -> tuple[list[Record], dict[str, int]]:
        """Rows of these runs, and how many are done, diverged, failed, missing and not asked for."""
        wanted = list(dict.fromkeys(ids))
        here = [self.rows[each] for each in wanted if each in self.rows]
        counts = {f"num_{status}": sum(row["status"] == status for row in here) for status in _STATUSES}
        counts["num_missing"] = sum(each in self.missing for each in wanted)
        return here, counts | {"num_not_asked": len(wanted) - len(here) - counts["num_missing"]}


def table_of(ledger: Ledger, name: str, *, scale: str, protocol: str, tuning: str = AS_SPECIFIED) -> pd.DataFrame:
    """As `table`, of a ledger that is prepared already."""
    cells = [cell for cell in grids.cells(name, Scale(scale)) if cell.metric in cell_estimates.ESTIMATES]
    instead = _replaced(ledger.frames, cells, tuning)
    numbers = published.of_table(name)
    frames = ledger.frames
    if any(cell.metric in cell_estimates.NEED_CURVES for cell in cells):
        frames = _narrowed(frames, cells, instead)
    made = [_row(cell, ledger, frames, instead, numbers, protocol) for cell in cells]
    return pd.DataFrame(made, columns=list(COLUMNS))


def _narrowed(frames: load.Frames, cells: Iterable[Cell], instead: Mapping[str, str]) -> load.Frames:
    """Runs and evaluations of these cells only: looking one cell up in all evaluations takes a tenth of a second."""
    runs = [run for cell in cells for run in (*cell.runs, *cell.against)]
    ids = {instead.get(run.run_id, run.run_id) for run in runs}
    parts = {name: part[part["run_id"].isin(ids)] for name, part in (("runs", frames.runs), ("curves", frames.curves))}
    return replace(frames, **parts)


def _replaced(frames: load.Frames, cells: Iterable[Cell], tuning: str) -> dict[str, str]:
    """For tuned tables: every run of the cells that a setting holds for, and the run with that setting."""
    if tuning == AS_SPECIFIED:
        return {}
    assert tuning == TUNED, tuning
    runs = [run for cell in cells for run in (*cell.runs, *cell.against)]
    changed = tuned.apply(runs, tuned.read(frames.source))
    # A run without a setting has no tuned counterpart, so it must not be found as it is.
    pairs = zip(runs, changed.runs, strict=True)
    return {run.run_id: new.run_id if new.run_id in changed.tuned else f"untuned {run.run_id}" for run, new in pairs}


COLUMNS = (
    *("table", "row", "column", "metric", "task"),
    *("published", "published_high", "published_sem", "confidence", "note"),
    *("estimate", "low", "high", "method", "bound", "lr", "before_divergence", "chance", "floor"),
    *("num_done", "num_diverged", "num_failed", "num_missing", "num_not_asked", "formula", "differs"),
)


def _row(
    cell: Cell,
    ledger: Ledger,
    frames: load.Frames,
    instead: Mapping[str, str],
    numbers: Mapping[tuple[str, str], Record],
    protocol: str,
) -> dict[str, Any]:
    here, counts = ledger.of(_ids(cell.runs, protocol, instead))
    against, _ = ledger.of(_ids(cell.against, protocol, instead))
    printed = numbers.get((cell.row, cell.column), {})
    row: dict[str, Any] = {
        "table": cell.table,
        "row": cell.row,
        "column": cell.column,
        "metric": str(cell.metric),
        "task": cell.runs[0].task if cell.runs else None,
        "published": printed.get("value", np.nan),
        "published_high": printed.get("value_high", np.nan),
        "published_sem": printed.get("sem", np.nan),
        "confidence": printed.get("confidence", ""),
        "note": printed.get("note", ""),
        **cell_estimates.ESTIMATES[cell.metric](Found(cell.metric, here, against, frames)),
        **counts,
        "formula": _formula(cell),
    }
    return row | {"differs": _differs(row)}


def _ids(runs: Iterable[RunSpec], protocol: str, instead: Mapping[str, str]) -> list[str]:
    return [instead.get(run.run_id, run.run_id) for run in runs_under(runs, protocol)]


def _formula(cell: Cell) -> float:
    """Trained parameters by the paper's count (table 8), null where the cell is about something else."""
    if cell.metric is not Metric.NUM_PARAMS_TRAINED or not cell.runs:
        return np.nan
    run = cell.runs[0]
    num_layers, width, _ = sizes.shape(run.body, str(run.size))
    return sizes.paper_trained_parameters(width=width, num_layers=num_layers)


def _differs(row: dict[str, Any]) -> str | None:
    """Where the published number lies; a range is inside where any of it is. Bounds decide nothing."""
    if pd.isna(row["published"]) or pd.isna(row["estimate"]) or row["bound"]:
        return None
    low, high = row["low"], row["high"]
    if row["metric"] in cell_estimates.COUNTED:
        low = high = row["estimate"]
    if pd.isna(low) or pd.isna(high):
        return NO_INTERVAL
    end = row["published"] if pd.isna(row["published_high"]) else row["published_high"]
    return INSIDE if row["published"] <= high and end >= low else OUTSIDE
