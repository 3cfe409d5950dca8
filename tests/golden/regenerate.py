"""Rewrite what is pinned: the runs of every grid, and docs/columns.md. Run it only when the change is meant.

python tests/golden/regenerate.py

Of a run stands here its id and what of its canonical JSON differs from the run before it, so that a large grid is a
file that can be read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from study.grids import GRIDS, load_grid
from study.ledger_schema import ATTENTION, CURVES, RUNS
from study.spec import canonical_json

GOLDEN = Path(__file__).parent
COLUMNS = GOLDEN.parents[1] / "docs" / "columns.md"
# Each is all runs of grids that are pinned themselves; a test says which.
UNIONS = ("all", "paper", "paper-small", "scaling", "scaling-small")


def grid_text(name: str) -> str:
    """One line per run: its id, and the fields that differ from the line before."""
    lines, before = [], {}
    for run in load_grid(name):
        fields = json.loads(run.to_json())
        changed = {key: value for key, value in fields.items() if key not in before or _differ(before[key], value)}
        lines.append(f"{json.dumps(run.run_id)}: {canonical_json(changed)}")
        before = fields
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _differ(one: object, other: object) -> bool:
    return canonical_json(one) != canonical_json(other)  # 1 and 1.0 are two values here


def read_grid(name: str) -> dict[str, dict[str, Any]]:
    """The pinned runs: id -> all fields."""
    runs, before = {}, {}
    for run_id, changed in json.loads((GOLDEN / f"{name}.json").read_text()).items():
        before = {**before, **changed}
        runs[run_id] = before
    return runs


def columns_text() -> str:
    """The schemas as Markdown tables."""
    head = (
        "# Columns of the ledger\n\nWritten by `python tests/golden/regenerate.py` from `study/ledger_schema.py`; the "
        "same texts are in the metadata of the Parquet files. A column that may be null is null where the value is "
        "unknown or does not apply. Accuracies are fractions from 0 to 1.\n"
    )
    runs = "One row per run that ended (`OUT/runs/*.parquet`)."
    curves = "One row per evaluation (`OUT/curves/*.parquet`); join on `run_id` and `attempt`."
    attention = (
        "First-layer attention on fixed examples, of done runs of tasks of which it is known where to look "
        "(`bit-memory`, `bit-xor`): one row per token that is read and state of the run (`OUT/attention/*.parquet`); "
        "join on `run_id` and `attempt`. The 32 examples are the same for every run with the same task arguments and "
        "are in no split and no training stream. Place i is token i of an example; only in `bit-memory` the string "
        "that is asked for is put before the others, whichever it was. Bodies that do not attend (`lstm`), and runs "
        "of older versions, have no rows."
    )
    tables = (("runs", runs, RUNS), ("curves", curves, CURVES), ("attention", attention, ATTENTION))
    return head + "".join(_table(*table) for table in tables)


def _table(name: str, about: str, schema: pa.Schema) -> str:
    lines = [
        f"\n## {name}\n\n{about}\n",
        "| column | type | null | unit | better | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for field in schema:
        data = {key.decode(): value.decode() for key, value in field.metadata.items()}
        null = "yes" if field.nullable else ""
        cells = (f"`{field.name}`", str(field.type), null, data["unit"], data["direction"], data["description"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for grid in GRIDS.keys() - UNIONS:
        (GOLDEN / f"{grid}.json").write_text(grid_text(grid))
    COLUMNS.write_text(columns_text())
