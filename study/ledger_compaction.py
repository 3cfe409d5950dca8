"""Merging many small parts into few large ones, while others append, read or merge too, and may die at any point.

Why no row is ever lost: the copies of a row are ordered, by the generation in the names of merged parts and then by
path. A part is removed only by a process that has listed it and knows, for each of its rows that counts, a copy of
higher order: in a part that it keeps, or in one that it has just written, whose generation is above all that it listed.
So the highest copy of a row is never removed, whoever else is at work. Until the sources are gone readers see rows
twice and take them once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import uuid

import pyarrow as pa
import pyarrow.compute as pc

from study.errors import StorageError, one_line
from study.ledger_parts import Damaged, parse, to_bytes
from study.ledger_reading import Parts, in_threads, read_parts, stream_parts
from study.ledger_rows import KEYS, MEASURED, measurements, pairs, winners
from study.ledger_schema import TABLES
from study.storage import Storage

LARGE_ROWS = {"runs": 100_000, "curves": 500_000, "attention": 100_000}
"""By table. A merged part of this size, 60 MB in memory, is left alone as long as all its rows count."""
_GENERATION = re.compile(r".*/merged-(\d{1,9})-")


def compact(storage: Storage) -> list[Damaged]:
    """Merge the parts of every table and set damaged files aside; returns these.

    Memory is that of the keys of all rows and of one large part.

    Raises:
        StorageError: the place fails; nothing is lost.
    """
    storage.sweep()
    runs = read_parts(storage, "runs", KEYS)
    measured = {name: read_parts(storage, name, columns) for name, columns in MEASURED.items()}
    damaged = sorted(item for parts in (runs, *measured.values()) for item in parts.damaged.items())
    aside = [_set_aside(storage, path, each) for path, each in damaged]
    rows = _Listed(runs, "runs", KEYS)
    best = winners(rows.table, rows.copies)
    # Measurements first: afterwards the rows that lost are forgotten, and with them that their measurements may go.
    # Those without any row stay: their writer may be about to commit it.
    names = pairs(rows.table)
    lost = names.filter(pc.invert(pc.is_in(names, names.take(best))))
    with contextlib.suppress(FileNotFoundError):  # another process is merging the same parts: leave it to that one
        for name, parts in measured.items():
            listed = _Listed(parts, name, MEASURED[name])
            once = measurements(listed.table, name, listed.copies)
            belongs = pc.invert(pc.is_in(pairs(listed.table), lost))
            _merge(storage, listed, once.filter(belongs.take(once)))
        _merge(storage, rows, best)
    return aside


class _Listed:
    """The keys of all rows of a table's sound parts.

    Attributes:
        name: of the table.
        paths: of the parts, sorted.
        sizes: their rows.
        table: their keys, one part below the other.
        copies: per row, the order of copies: highest generation first, then path.
        generation: highest of the parts; 0 before any was merged.
    """

    def __init__(self, parts: Parts, name: str, columns: tuple[str, ...]) -> None:
        self.name = name
        self.paths = sorted(parts.tables)
        tables = [parts.tables[path] for path in self.paths]
        self.sizes = [table.num_rows for table in tables]
        empty = pa.schema([TABLES[name].field(column) for column in columns]).empty_table()
        self.table = pa.concat_tables([empty, *tables]).combine_chunks()
        generations = [_generation(path) for path in self.paths]
        self.generation = max(generations, default=0)
        order = sorted(range(len(tables)), key=lambda number: (-generations[number], number))
        rank = {number: place for place, number in enumerate(order)}
        repeated = [pa.repeat(pa.scalar(rank[number], pa.int32()), size) for number, size in enumerate(self.sizes)]
        self.copies = pa.table({"copy": pa.chunked_array(repeated, pa.int32())})


def _merge(storage: Storage, listed: _Listed, counting: pa.Array) -> None:
    """Write the rows that count anew, those in large parts without any other row excepted; remove what they were in."""
    is_counting = pc.is_in(pa.array(range(listed.table.num_rows), pa.uint64()), counting)
    starts = dict(zip(listed.paths, itertools.accumulate(listed.sizes, initial=0), strict=False))
    masks = {path: is_counting.slice(starts[path], size) for path, size in zip(listed.paths, listed.sizes, strict=True)}
    large = LARGE_ROWS[listed.name]
    whole = {path for path, mask in masks.items() if mask.true_count == len(mask)}
    sources = [path for path in listed.paths if path not in whole or len(masks[path]) < large]
    if len(sources) == 1 and sources[0] in whole:
        return
    waiting: list[pa.Table] = []
    num_waiting = 0
    for path, part in stream_parts(storage, listed.name, sources):
        keys = listed.table.slice(starts[path], len(masks[path]))
        if not part.select(keys.column_names).equals(keys):
            raise FileNotFoundError(path)  # merged away, and its name was taken by another execution of its runs
        waiting.append(part if path in whole else part.filter(masks[path]))
        num_waiting += waiting[-1].num_rows
        if num_waiting >= large:
            _write(storage, listed, waiting)
            waiting, num_waiting = [], 0
    _write(storage, listed, waiting)
    in_threads(storage.remove, sources)


def _write(storage: Storage, listed: _Listed, tables: list[pa.Table]) -> None:
    """One merged part, its rows in order."""
    if not any(table.num_rows for table in tables):
        return
    merged = pa.concat_tables(tables)
    order = winners(merged) if listed.name == "runs" else measurements(merged, listed.name)
    assert len(order) == merged.num_rows, "each row was chosen once"
    path = f"{listed.name}/merged-{listed.generation + 1}-{uuid.uuid4().hex[:16]}.parquet"
    is_new = storage.commit(path, to_bytes(merged.take(order)))
    assert is_new, "the name is random"


def is_merged(path: str) -> bool:
    """Whether a part is one of those that are written here."""
    return _generation(path) > 0


def _generation(path: str) -> int:
    found = _GENERATION.match(path)
    return int(found[1]) if found else 0


def _set_aside(storage: Storage, path: str, damaged: Damaged) -> Damaged:
    """Move a damaged file into the quarantine, where that is possible and right."""
    if damaged.stays:
        return damaged
    target = f"quarantine/{path}"
    if storage.kind(target) != "missing":
        target = f"{target}-{uuid.uuid4().hex[:8]}"
    try:
        storage.move(path, target)
    except FileNotFoundError:
        return damaged  # another process has set it aside
    except OSError as error:
        return dataclasses.replace(damaged, reason=f"{damaged.reason}; {one_line(error)}", stays=True)
    _put_back_if_sound(storage, path, target)
    return damaged


def _put_back_if_sound(storage: Storage, path: str, target: str) -> None:
    """Another process may have set the damaged file aside, and a writer may have taken its name, just before us.

    Moved, not copied: there may be no room for a copy.
    """
    try:
        is_sound = isinstance(parse(path, storage.read(target), path.partition("/")[0]), pa.Table)
    except StorageError:
        raise
    except OSError:
        return
    if is_sound:
        storage.move(target, f"{path.removesuffix('.parquet')}-{uuid.uuid4().hex[:8]}.parquet")
