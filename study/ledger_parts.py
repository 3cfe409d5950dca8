"""Parts of the ledger as files: Parquet with a seal, so that any changed bit is noticed before a number is read.

The seal is the SHA-256 of the whole file with the seal itself zeroed; it lies in the file's own key-value metadata,
so a part stays one ordinary Parquet file for any other reader, and may be renamed or copied.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from study.errors import one_line
from study.ledger_schema import COLUMNS_VERSION, MIGRATIONS, STATUSES, TABLES

_SEAL = b"fpt-study sha256 "
_BLANK = b"0" * 64
_VERSION = b"columns_version"
_LARGE_BYTES = 1 << 20
"""Smaller parts are decoded faster by one thread, and from Snappy in half the time that zstd takes (100 rows: 1.4 and
2.7 ms, for 4 % more bytes); larger ones profit from several threads and from zstd."""


@dataclass(frozen=True)
class Damaged:
    """A file of the ledger that cannot be used.

    Attributes:
        path: below the ledger, printable.
        reason: what is wrong, on one line.
        stays: it may be sound for somebody else (a newer version, another user), so `compact` leaves it in place.
    """

    path: str
    reason: str
    stays: bool = False


def to_bytes(table: pa.Table) -> bytes:
    """The table as one sealed Parquet file; small parts are the rule, so statistics are left out."""
    sink = io.BytesIO()
    codec = "zstd" if table.nbytes > _LARGE_BYTES else "snappy"
    with pq.ParquetWriter(
        sink, table.schema, compression=codec, write_statistics=False, write_page_checksum=True
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_VERSION: str(COLUMNS_VERSION), b"seal": _SEAL + _BLANK})
    data = bytearray(sink.getbuffer())
    start = data.rindex(_SEAL) + len(_SEAL)
    data[start : start + len(_BLANK)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def parse(path: str, data: bytes, name: str, columns: Sequence[str] | None = None) -> pa.Table | Damaged:
    """The table in a part's bytes, or why it is none.

    Parts without a seal, as they were made once, are read whole and checked as far as Parquet goes.

    Args:
        path: of the part, for the report.
        data: its bytes. They are in memory: whatever fails here is the content, never the disk or the network.
        name: of the table, in `ledger_schema.TABLES`.
        columns: only these; all by default.
    """
    is_sealed = _is_sealed(data)
    if is_sealed is False:
        return Damaged(path, "its bytes are not those that were written")
    schema = TABLES[name]
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=is_sealed is None)
        version = int((file.metadata.metadata or {}).get(_VERSION, b"1"))
        if not 1 <= version <= COLUMNS_VERSION:
            other = f"written by another version of this software (columns {version}, known are 1 to {COLUMNS_VERSION})"
            return Damaged(path, f"{other}; update it", stays=True)
        is_current = bool(is_sealed) and version == COLUMNS_VERSION
        # A part of other columns is read whole, so that every reader refuses it, whatever columns it asks for.
        wanted = columns if is_current and file.schema_arrow.equals(schema) else None
        table = file.read(wanted, use_threads=len(data) > _LARGE_BYTES)
        if not is_current:
            table = _migrated(_validated(table), name, version)
    except MemoryError:
        raise  # Arrow's is an ArrowException too, and says nothing of the file
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        # Where the seal holds it is this machine that cannot read it.
        return Damaged(path, f"not a whole part: {one_line(error)}", stays=is_sealed is True)
    schema = schema if wanted is None else pa.schema([schema.field(column) for column in wanted])
    if not table.schema.equals(schema):
        odd = sorted(set(table.schema.names) ^ set(schema.names)) or ["types"]
        return Damaged(path, f"not the ledger's columns; they differ in {', '.join(map(one_line, odd[:3]))}")
    # With the descriptions of today's columns; the data are not copied.
    table = pa.Table.from_arrays(table.columns, schema=schema)
    return table if columns is None else table.select(columns)


def _is_sealed(data: bytes) -> bool | None:
    """Whether the file is as it was written; None where it bears no seal."""
    found = data.rfind(_SEAL)
    if found < 0:
        return None
    start = found + len(_SEAL)
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(_BLANK)
    digest.update(view[start + len(_BLANK) :])
    return view[start : start + len(_BLANK)] == digest.hexdigest().encode()


def _validated(table: pa.Table) -> pa.Table:
    """A table that was read without a seal, if its values can be ones of the ledger.

    Raises:
        ValueError: they cannot.
    """
    table.validate(full=True)
    if "status" in table.column_names and not pc.all(pc.is_in(table["status"], pa.array(STATUSES))).as_py():
        raise ValueError(f"a status that is none of {', '.join(STATUSES)}")
    return table


def _migrated(table: pa.Table, name: str, version: int) -> pa.Table:
    """A table of an older version with today's columns, in their order."""
    if version == COLUMNS_VERSION:
        return table
    for older in range(version, COLUMNS_VERSION):
        change = MIGRATIONS[name].get(older)
        table = change(table) if change else table
    if "schema_version" in table.schema.names:
        number = table.schema.get_field_index("schema_version")
        raised = pa.repeat(pa.scalar(COLUMNS_VERSION, pa.int32()), table.num_rows)
        table = table.set_column(number, table.schema.field(number), raised)
    known = [column for column in TABLES[name].names if column in table.schema.names]
    return table.select([*known, *(column for column in table.schema.names if column not in known)])


def digest(names: Iterable[str]) -> str:
    """16 hex digits that name a set of runs, whatever their order."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def part_path(folder: str, rows: Sequence[Mapping[str, Any]], attempt: str | None = None) -> str:
    """Path of a part: by its run ids, so that of two executions one wins; with the attempt, where both must stay."""
    suffix = f"-{attempt[:8]}" if attempt else ""
    return f"{folder}/{digest(row['run_id'] for row in rows)}{suffix}.parquet"
