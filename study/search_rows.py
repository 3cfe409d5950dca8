"""Every proposal of every search as Parquet, in OUT/search/<study>/trials.parquet: one row each, stopped or not.

The journal beside it is what a search goes on from; this table, made from it, is what the analysis reads.
"""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from study.errors import StorageError, one_line
from study.ledger_schema import SPEC_COLUMNS
from study.storage import Storage

FOLDER = "search"
_TABLE, _JOURNAL = "trials.parquet", "journal.log"
_TIME = pa.timestamp("us", tz="UTC")
_FLOATS = pa.list_(pa.float64())


def _column(name: str, kind: pa.DataType, description: str, unit: str = "", *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required, metadata={"description": description, "unit": unit})


# Of a run, but for its seeds: those are lists here.
_SETTING = [column for column in SPEC_COLUMNS if column.name not in ("seed", "body_seed", "warmup_steps")]
TRIALS = pa.schema(
    [
        _column("study", pa.string(), "name of the search: task, variant, digest of its definition", required=True),
        _column("number", pa.int64(), "which proposal of the search, from 0", required=True),
        _column("variant", pa.string(), "what is searched for, such as fpt or frozen-random", required=True),
        _column("sampler", pa.string(), "what chose it", required=True),
        _column("state", pa.string(), "complete, pruned (stopped early), diverged, failed or running", required=True),
        _column("error", pa.string(), "why it failed; null unless failed"),
        _column("score", pa.float64(), "mean validation accuracy over seeds at the last rung it reached", "fraction"),
        *_SETTING,
        _column("warmup_share", pa.float64(), "warm-up as a share of all steps", "fraction", required=True),
        _column("params", pa.string(), "dimensions that were searched, as canonical JSON", required=True),
        _column("seeds", pa.list_(pa.int64()), "seeds it was evaluated with", required=True),
        _column("rung_steps", pa.list_(pa.int64()), "steps of the rungs it reached", "steps", required=True),
        _column("rung_accuracies", _FLOATS, "mean validation accuracy over seeds at these", "fraction", required=True),
        _column("rung_losses", _FLOATS, "mean validation loss over seeds at these", "nats", required=True),
        _column("seed_accuracies", _FLOATS, "of each seed, at the last rung; null before any", "fraction"),
        _column("chance_accuracy", pa.float64(), "accuracy of a uniform guess", "fraction", required=True),
        _column("num_steps_done", pa.int64(), "updates over all seeds", "steps", required=True),
        _column("started_at", _TIME, "when it was asked for (UTC)"),
        _column("ended_at", _TIME, "when it ended (UTC); null while it runs"),
    ]
)
"""One row per proposal."""


def journal_path(study: str) -> str:
    """Where the journal of a study lies, below the ledger."""
    return f"{FOLDER}/{study}/{_JOURNAL}"


def write(storage: Storage, study: str, rows: list[dict[str, Any]]) -> None:
    """Write the rows of one study in the place of earlier ones."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=TRIALS), sink)
    storage.replace(f"{FOLDER}/{study}/{_TABLE}", sink.getvalue())


def read(storage: Storage) -> tuple[pa.Table, list[str]]:
    """The proposals of every search of a ledger, and one line for each table that cannot be read.

    Raises:
        StorageError: the place fails.
    """
    tables, problems = [TRIALS.empty_table()], []
    for study in storage.names(FOLDER):
        path = f"{FOLDER}/{study}/{_TABLE}"
        try:
            table = pq.read_table(pa.BufferReader(storage.read(path)))
        except FileNotFoundError:
            continue
        except StorageError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            problems.append(f"{one_line(path)} cannot be read: {one_line(error)}")
            continue
        if table.schema.equals(TRIALS):
            tables.append(table.cast(TRIALS))
        else:
            problems.append(f"{one_line(path)} is of another version of this program; search again to make it anew")
    return pa.concat_tables(tables), problems
