"""Where the numbers come from and what they cost: runs that are lacking, cost, settings and versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import pandas as pd

from analysis import load
from analysis.settings import shown
from study.spec import RunSpec

_UNITS = ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (0.0, "FLOP"))
_MOST_VALUES = 8
_CPU = ("cpu", "thread(s)")
"""How the ledger's column `device` ends where no accelerator trained the run (`study.provenance.device_name`)."""


def gaps(frames: load.Frames) -> pd.DataFrame:
    """Runs without a result: columns setting, task, train_set, init, status, seeds (joined by commas), error."""
    ended = frames.runs[frames.runs["status"] != "done"]
    absent = frames.missing.assign(status="missing", error=None)
    columns = ["setting", *load.CELL, "status", "seed", "error"]
    lacking = pd.concat([ended[columns].astype(object), absent[columns].astype(object)], ignore_index=True)
    key = ["setting", *load.CELL, "status", "error"]
    lacking["error"] = lacking["error"].fillna("")
    grouped = lacking.groupby(key, sort=True)["seed"].agg(lambda seeds: ", ".join(str(int(s)) for s in sorted(seeds)))
    return grouped.rename("seeds").reset_index()


def reasons(frames: load.Frames) -> pd.DataFrame:
    """Runs without a result by why: columns status, error ("" where there is none), num_runs, num_settings, tasks."""
    ended = frames.runs[frames.runs["status"] != "done"]
    columns = ["status", "error", "task", "setting"]
    lacking = pd.concat([ended, frames.missing.assign(status="missing", error=None)], ignore_index=True)[columns]
    lacking["error"] = lacking["error"].fillna("")
    grouped = lacking.groupby(["status", "error"], as_index=False).agg(
        num_runs=("task", "size"), num_settings=("setting", "nunique"), tasks=("task", lambda names: sorted(set(names)))
    )
    return grouped.sort_values(["num_runs", "status", "error"], ascending=[False, True, True], ignore_index=True)


def cost(frames: load.Frames) -> pd.DataFrame:
    """By task and train set: num_runs, wall_seconds (sum), train_flops (sum), num_params_trained (largest).

    Wall seconds are each run's share of its pack; FLOPs are those of training, evaluation left out.
    """
    grouped = frames.runs.groupby(["task", "train_set"], as_index=False, sort=False)
    table = grouped.agg(
        num_runs=("run_id", "count"),
        wall_seconds=("wall_seconds", "sum"),
        train_flops=("train_flops", "sum"),
        num_params_trained=("num_params_trained", "max"),
    )
    rank = {name: i for axis in ("task", "train_set") for i, name in enumerate(load.order(axis, table[axis]))}
    return table.sort_values(["task", "train_set"], key=lambda names: names.map(rank), ignore_index=True)


def cost_of(frames: load.Frames, ids: Collection[str]) -> dict[str, float]:
    """Of these runs: numbers by status, gpu_hours, cpu_hours and train_flops.

    Hours are the runs' shares of the time of their packs, on the kind of device that the ledger names.
    """
    runs = frames.runs[frames.runs["run_id"].isin(ids)]
    on_cpu = runs["device"].fillna("").str.endswith(_CPU)
    by_status = runs["status"].value_counts()
    return {
        **{f"num_{status}": int(by_status.get(status, 0)) for status in ("done", "diverged", "failed")},
        "num_missing": int(frames.missing["run_id"].isin(ids).sum()),
        "gpu_hours": float(runs.loc[~on_cpu, "wall_seconds"].sum()) / 3600,
        "cpu_hours": float(runs.loc[on_cpu, "wall_seconds"].sum()) / 3600,
        "train_flops": float(runs["train_flops"].sum()),
    }


def fields(frames: load.Frames) -> dict[str, str]:
    """Every field of the specification with the values it takes in the ledger, the constant ones first."""
    values = {field.name: _values(frames.runs[field.name]) for field in dataclasses.fields(RunSpec)}
    return {name: _listed(some) for name, some in sorted(values.items(), key=lambda item: len(item[1]) > 1)}


def origin(frames: load.Frames) -> dict[str, str]:
    """Program, machine and time behind the rows."""
    runs = frames.runs
    names = {
        "git revision": "git_revision",
        "versions": "versions",
        "device": "device",
        "engine version": "engine_version",
        "schema version": "schema_version",
        "runs per pack": "pack_size",
    }
    started, ended = runs["started_at"].min(), runs["ended_at"].max()
    span = {"first start (UTC)": _moment(started), "last end (UTC)": _moment(ended)}
    return {title: _listed(_values(runs[column])) for title, column in names.items()} | span


def seconds(value: float) -> str:
    """A duration: "12.5 s", "3.4 min", "2.1 h"."""
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def flops(value: float) -> str:
    """A number of operations with its prefix: "4.20 TFLOP"."""
    size, unit = next((size, unit) for size, unit in _UNITS if value >= size)
    return f"{value / (size or 1):.3g} {unit}"


def _values(column: pd.Series) -> list[str]:
    """Distinct values as text; a null reads "none"."""
    return sorted({shown(value) for value in column.unique()}, key=lambda text: (len(text), text))


def _listed(values: list[str]) -> str:
    more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
    return ", ".join(values[:_MOST_VALUES]) + more


def _moment(time: pd.Timestamp) -> str:
    return "unknown" if pd.isna(time) else time.strftime("%Y-%m-%d %H:%M:%S")
