"""Parts of the ledger as tables: which files are sound, which of several rows of a run counts, what belongs to it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from study.errors import one_line
from study.ledger_schema import FINAL


@dataclass(frozen=True)
class Damaged:
    """A torn or foreign file: its path below the ledger and what is wrong, on one line."""

    path: str
    reason: str


@dataclass(frozen=True)
class Parts:
    """One folder of the ledger as it was listed.

    Attributes:
        paths: every file and folder in it.
        tables: the sound parts that were read, by path.
        damaged: the others that were read.
    """

    paths: list[str]
    tables: dict[str, pa.Table]
    damaged: list[Damaged]

    def add(self, path: str, part: pa.Table | Damaged) -> None:
        """Sort a part that was read into the sound or the damaged ones."""
        if isinstance(part, Damaged):
            self.damaged.append(part)
        else:
            self.tables[path] = part

    def merged(self, schema: pa.Schema) -> pa.Table:
        """All rows of the sound parts, one below the other."""
        return pa.concat_tables([schema.empty_table(), *self.tables.values()])


class Key(NamedTuple):
    """What decides which of several rows of one run id counts."""

    run_id: str
    attempt: str
    status: str
    ended_at: int  # microseconds since 1970

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Lowest wins: a result before a failure; the earliest result, the latest failure."""
        has_failed = self.status not in FINAL
        return has_failed, -self.ended_at if has_failed else self.ended_at, self.attempt


def parse(path: str, data: bytes | None, schema: pa.Schema) -> pa.Table | Damaged:
    """The table in a part's bytes, or why it is none; data is None where the path is a folder."""
    if data is None:
        return Damaged(path, "a folder, not a part of the ledger")
    try:
        # The bytes are in memory: whatever fails here is the content, never the disk or the network.
        table = pq.ParquetFile(io.BytesIO(data)).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        return Damaged(path, f"not a whole Parquet file: {one_line(error)}")
    if not table.schema.equals(schema):
        odd = sorted(set(table.schema.names) ^ set(schema.names)) or ["types"]
        return Damaged(path, f"not the ledger's columns; they differ in {', '.join(odd[:3])}")
    return table.replace_schema_metadata(schema.metadata).cast(schema)


def to_bytes(table: pa.Table) -> bytes:
    """The table as one Parquet file; small parts are the rule, so statistics are left out."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_statistics=False)
    return sink.getvalue()


def pairs(table: pa.Table) -> list[tuple[str, str]]:
    """(run_id, attempt) of every row."""
    return list(zip(table["run_id"].to_pylist(), table["attempt"].to_pylist(), strict=True))


def keys_of(runs: pa.Table) -> list[Key]:
    """The key of every row."""
    columns = [runs["run_id"], runs["attempt"], runs["status"], runs["ended_at"].cast(pa.int64())]
    return [Key(*values) for values in zip(*(column.to_pylist() for column in columns), strict=True)]


def winners(keys: Iterable[Key]) -> dict[str, Key]:
    """The key that counts, by run id; the same whatever the order of the keys."""
    best: dict[str, Key] = {}
    for key in keys:
        if key.run_id not in best or key.rank < best[key.run_id].rank:
            best[key.run_id] = key
    return best


def one_row_each(runs: pa.Table) -> pa.Table:
    """The row that counts of every run id, sorted by run id."""
    keys = keys_of(runs)
    position = {key: index for index, key in reversed(list(enumerate(keys)))}
    return runs.take(pa.array([position[key] for _, key in sorted(winners(keys).items())], pa.int64()))


def of_attempts(curves: pa.Table, runs: pa.Table) -> pa.Table:
    """The curves of these rows, each evaluation once, sorted by run, step and split."""
    wanted = set(pairs(runs))
    steps, splits = curves["step"].to_pylist(), curves["split"].to_pylist()
    position = {}
    for index, (pair, step, split) in enumerate(zip(pairs(curves), steps, splits, strict=True)):
        if pair in wanted:
            position.setdefault((*pair, step, split), index)
    return curves.take(pa.array([index for _, index in sorted(position.items())], pa.int64()))
