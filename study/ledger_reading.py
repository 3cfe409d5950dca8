"""Reading a folder of parts while others add to it and merge it: nothing is missed, and nothing damaged is used."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from study.errors import StorageError, one_line, place
from study.ledger_parts import Damaged, parse
from study.processes import available_cpus
from study.storage import Storage

_AT_ONCE = 32
"""Files that are fetched at once: of a store whose answers take time, and so that few lie in memory."""
_PARSED_AT_ONCE = 8
"""At most, and no more than there are processors: tables take more memory than the files that they were in."""
_MAX_LISTINGS = 100
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Parts:
    """One folder of the ledger.

    Attributes:
        tables: the sound parts that were read, by path.
        damaged: the others, by path.
    """

    tables: dict[str, pa.Table] = field(default_factory=dict)
    damaged: dict[str, Damaged] = field(default_factory=dict)

    def merged(self, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of the sound parts, one below the other; columns are those that were read."""
        empty = schema.empty_table()
        return pa.concat_tables([empty.select(columns) if columns else empty, *self.tables.values()])


def read_parts(storage: Storage, name: str, columns: Sequence[str] | None = None, known: Collection[str] = ()) -> Parts:
    """Every part of a table.

    A listing is no snapshot: while a compaction goes on, it may miss both a new part and the old one that it replaces.
    So it is listed at least twice, and again while parts vanish before they are read. What was read stays in the answer
    even if it has been replaced meanwhile: parts never change, and a row that is there twice is taken once.

    Args:
        storage: of the ledger.
        name: of the table.
        columns: only these; all by default.
        known: paths of parts that need not be read again.

    Raises:
        StorageError: the place fails.
    """
    parts = Parts()
    vanished: set[str] = set()
    for number in range(_MAX_LISTINGS):
        listed = {f"{name}/{entry}" for entry in storage.names(name)}
        new = sorted(listed - parts.tables.keys() - parts.damaged.keys() - set(known))
        has_vanished = False
        for path, part in _parsed(storage, new, name, columns):
            if part is not None:
                (parts.damaged if isinstance(part, Damaged) else parts.tables)[path] = part
            elif path in vanished and storage.kind(path) != "missing":
                parts.damaged[path] = _nothing_there(storage, path)
            else:
                has_vanished = True  # merged away, or it never was a file: the next listing tells
                vanished.add(path)
        if number > 0 and not has_vanished:
            return parts
        if number > 0:
            time.sleep(min(1.0, _PAUSE_SECONDS * number))  # the listing is an old one
    raise StorageError(f"'{place(storage.uri)}/{name}' keeps changing; try again")


def stream_parts(storage: Storage, name: str, paths: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """Sound parts one after the other, so that few of them lie in memory.

    Raises:
        FileNotFoundError: one is no longer there, or no longer sound.
    """
    for path, part in _parsed(storage, paths, name):
        if not isinstance(part, pa.Table):
            raise FileNotFoundError(path)
        yield path, part


def printable(path: str) -> str:
    """A path for messages: on one line, and without characters that a terminal or a file cannot take."""
    return one_line(path.encode("utf-8", "backslashreplace").decode())


def in_threads(action: Callable[[str], object], paths: Sequence[str]) -> None:
    """Do something to many files, many at once."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(action, paths):
            pass


def _parsed(
    storage: Storage, paths: Sequence[str], name: str, columns: Sequence[str] | None = None
) -> Iterator[tuple[str, pa.Table | Damaged | None]]:
    """Parts in their order; None where there is no file. Arrow decodes without the interpreter's lock, so several."""

    def parsed(item: tuple[str, bytes | Damaged | None]) -> tuple[str, pa.Table | Damaged | None]:
        path, data = item
        while isinstance(data, bytes):
            part = parse(printable(path), data, name, columns)
            if not isinstance(part, Damaged):
                return path, part
            # A store that is asked for the length first and for the bytes then tears what is replaced in between.
            before, data = data, _fetch(storage, path)
            if data == before:
                return path, part
        return path, data

    num_threads = min(_PARSED_AT_ONCE, available_cpus())
    with ThreadPoolExecutor(num_threads) as pool:
        fetched = _fetched(storage, paths)
        while batch := list(itertools.islice(fetched, num_threads)):
            yield from pool.map(parsed, batch)


def _fetched(storage: Storage, paths: Sequence[str]) -> Iterator[tuple[str, bytes | Damaged | None]]:
    """The bytes of files, in their order; None where there is none."""
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(paths)))) as pool:
        rest = iter(paths)
        while batch := list(itertools.islice(rest, _AT_ONCE)):
            yield from zip(batch, pool.map(functools.partial(_fetch, storage), batch), strict=True)


def _fetch(storage: Storage, path: str) -> bytes | Damaged | None:
    try:
        return storage.read(path)
    except FileNotFoundError:
        return None
    except StorageError:
        raise
    except OSError as error:
        is_folder = storage.kind(path) == "folder"
        reason = "a folder, not a part of the ledger" if is_folder else f"cannot be read: {error.strerror}"
        return Damaged(printable(path), reason, stays=isinstance(error, PermissionError))


def _nothing_there(storage: Storage, path: str) -> Damaged:
    is_folder = storage.kind(path) == "folder"
    return Damaged(printable(path), "a folder, not a part of the ledger" if is_folder else "a link to nothing")
