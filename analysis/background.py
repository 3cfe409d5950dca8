"""The sections behind the results: what is lacking, what it cost, where it comes from."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import page, provenance
from analysis.page import Section, Tags
from analysis.sections import Part, Tables
from analysis.style import train_set_text
from study.grids.cells import Scale
from study.grids.tables import TABLES, table_runs

_MOST_ROWS, _MOST_OPEN = 200, 20
"""Lines of a long table that are shown, and lines from which on it is folded."""


def lacking(data: Tables) -> Part:
    """Runs without a result, with the reason where there is one."""
    gaps = provenance.gaps(data.frames)
    body = "".join(page.paragraph(f"Left out of this report: {line}", kind="notice") for line in data.frames.problems)
    if gaps.empty:
        body += page.paragraph("Every run that was asked for is done.")
        return Part(Section("gaps", "Missing, failed and diverged runs", body))
    shown = gaps.head(_MOST_ROWS)
    width = 7 if len(data.frames.settings) > 1 else 6  # the setting stands last
    rows = [
        [row.task, train_set_text(row.train_set), row.init, row.status, row.seeds, row.error or None, row.setting]
        for row in shown.itertuples()
    ]
    columns = ["task", "train set", "init", "status", "seeds", "reason", "setting"]
    caption = (
        f"Runs without a result: {len(shown)} of {len(gaps)} lines. Missing means: asked for by a launch, and "
        "not in the ledger"
    )
    tags: list[Tags] = [{"task": task} for task in shown["task"]]
    table = page.table([row[:width] for row in rows], columns=columns[:width], caption=caption, num_keys=3, tags=tags)
    if len(gaps) > _MOST_OPEN:
        body += _reasons(data) + page.fold("Run by run", table)
    else:
        body += table
    return Part(Section("gaps", "Missing, failed and diverged runs", body))


def _reasons(data: Tables) -> str:
    reasons = provenance.reasons(data.frames)
    shown = reasons.head(_MOST_ROWS)
    rows = [
        [row.status, row.error or None, row.num_runs, row.num_settings, len(row.tasks)]  # type: ignore[arg-type]
        for row in shown.itertuples()
    ]
    caption = f"Runs without a result by reason: {len(shown)} of {len(reasons)}"
    columns = ["status", "reason", "runs", "settings", "tasks"]
    tags: list[Tags] = [{"task": tasks} for tasks in shown["tasks"]]
    return page.table(rows, columns=columns, caption=caption, tags=tags)


def costs(data: Tables) -> Part:
    """Hours by table of the paper or by grid, and time and operations by task and train set."""
    table = _by_task(data)
    body = _by_table(data) + (page.fold("By task and train set", table) if table.count("<tr") > _MOST_OPEN else table)
    return Part(Section("cost", "Cost", body))


def _by_table(data: Tables) -> str:
    """Hours by table, where the ledger has more than one grid or table; a run that several share counts in each."""
    parts = [(name, scale, ids) for name, scale, ids in _parts(data) if ids]
    if len(parts) < 2:
        return ""
    everything = {*data.frames.runs["run_id"], *data.frames.missing["run_id"]}
    found = [(name, scale, provenance.cost_of(data.frames, ids)) for name, scale, ids in parts]
    found.append(("all runs, each once", "", provenance.cost_of(data.frames, everything)))
    names = ("num_done", "num_diverged", "num_failed", "num_missing")
    rows = [
        [
            name,
            scale or None,
            *(f"{cost[each]:,.0f}" for each in names),
            f"{cost['gpu_hours']:,.2f}",
            f"{cost['cpu_hours']:,.2f}",
            provenance.flops(cost["train_flops"]),
        ]
        for name, scale, cost in found
    ]
    columns = ["table or grid", "scale", "done", "diverged", "failed", "missing", "GPU-hours", "CPU-hours"]
    caption = "Cost by table or grid; a run that several of them share counts in each"
    tags: list[Tags] = [{"scale": scale} if scale else {} for _, scale, _ in found]
    return page.table(rows, columns=[*columns, "training operations"], caption=caption, tags=tags)


def _parts(data: Tables) -> Iterator[tuple[str, str, set[str]]]:
    """Name, scale and run ids of every table of the papers with runs here, and of the grids that have none of them."""
    asked = {*data.frames.runs["run_id"], *data.frames.missing["run_id"]}
    in_tables: set[str] = set()
    for scale in Scale:
        for name, table in TABLES.items():
            ids = asked & {run.run_id for run in table_runs(name, scale)}
            in_tables |= ids
            yield f"{name} · {table.title}", str(scale), ids
    for name, own in data.frames.grids.items():
        yield f"{name}, besides the tables" if own & in_tables else name, "", set(own) & asked - in_tables


def _by_task(data: Tables) -> str:
    table = provenance.cost(data.frames)
    rows = [
        [
            row.task,
            train_set_text(row.train_set),
            row.num_runs,
            provenance.seconds(row.wall_seconds),
            provenance.seconds(row.wall_seconds / row.num_runs),
            provenance.flops(row.train_flops),
            None if pd.isna(row.num_params_trained) else f"{int(row.num_params_trained):,}",
        ]
        for row in table.itertuples()
    ]
    wall, work, runs = table["wall_seconds"].sum(), table["train_flops"].sum(), int(table["num_runs"].sum())
    total = ["all", "", runs, provenance.seconds(wall), provenance.seconds(wall / runs), provenance.flops(work), None]
    columns = ["task", "train set", "runs", "wall time", "per run", "training operations", "trained parameters (most)"]
    caption = "Wall time is each run's share of the time of the pack it trained in; evaluation is not in the operations"
    tags: list[Tags] = [*({"task": task} for task in table["task"]), {}]
    return page.table([*rows, total], columns=columns, caption=caption, num_keys=2, tags=tags)


def sources(data: Tables) -> Part:
    """Specification, program and machine."""
    body = page.definitions({"ledger": data.frames.source, "made by": data.command, **provenance.origin(data.frames)})
    body += page.heading("Specification of the runs") + page.definitions(provenance.fields(data.frames))
    return Part(Section("provenance", "Provenance", body))
