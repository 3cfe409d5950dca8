"""The sections behind the results: what is lacking, what it cost, where it comes from."""

from __future__ import annotations

import pandas as pd

from analysis import page, provenance
from analysis.page import Section
from analysis.sections import Part, Tables

_MOST_ROWS = 200


def lacking(data: Tables) -> Part:
    """Runs without a result, with the reason where there is one."""
    gaps = provenance.gaps(data.frames)
    body = "".join(page.paragraph(f"Left out of this report: {line}", kind="notice") for line in data.frames.problems)
    if gaps.empty:
        body += page.paragraph("Every run that was asked for is done.")
    else:
        shown = gaps.head(_MOST_ROWS)
        width = 7 if len(data.frames.settings) > 1 else 6  # the setting stands last
        rows = [
            [row.task, row.train_set, row.init, row.status, row.seeds, row.error or None, row.setting][:width]
            for row in shown.itertuples()
        ]
        columns = ["task", "train set", "init", "status", "seeds", "reason", "setting"][:width]
        caption = (
            f"Runs without a result: {len(shown)} of {len(gaps)} lines. Missing means: asked for by a launch, and "
            "not in the ledger"
        )
        body += page.table(rows, columns=columns, caption=caption, num_keys=3)
    return Part(Section("gaps", "Missing, failed and diverged runs", body))


def costs(data: Tables) -> Part:
    """Time and operations by task and train set."""
    table = provenance.cost(data.frames)
    rows = [
        [
            row.task,
            row.train_set,
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
    return Part(Section("cost", "Cost", page.table([*rows, total], columns=columns, caption=caption, num_keys=2)))


def sources(data: Tables) -> Part:
    """Specification, program and machine."""
    body = page.definitions({"ledger": data.frames.source, "made by": data.command, **provenance.origin(data.frames)})
    body += page.heading("Specification of the runs") + page.definitions(provenance.fields(data.frames))
    return Part(Section("provenance", "Provenance", body))
