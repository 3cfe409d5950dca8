"""Which of several rows of a run counts, and which measurements belong to it; all in columns, for millions of rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from study.ledger_schema import FINAL

KEYS = ("run_id", "attempt", "status", "ended_at")
"""Columns of the table of runs that decide which rows count."""
MEASURED = {"curves": ("run_id", "attempt", "step", "split"), "attention": ("run_id", "attempt", "state", "query")}
"""Tables of what was measured of the runs -> the columns that name a row."""
MANY_ROWS = 100_000
"""From here on threads pay: a million rows are copied in half the time by two."""


def winners(runs: pa.Table, copies: pa.Table | None = None) -> pa.Array:
    """Indices of the rows that count, ordered by run id; the same rows whatever their order was.

    A result (done, diverged) counts before a failure; the earliest result, the latest failure.

    Args:
        runs: at least the columns `KEYS`.
        copies: columns, one value per row, that decide between copies of one row: the smallest is taken, by the first
            column first.
    """
    ended = runs["ended_at"].cast(pa.int64())
    has_failed = pc.invert(pc.is_in(runs["status"], pa.array(FINAL)))
    keys = {
        "run_id": runs["run_id"],
        "has_failed": has_failed,
        "when": pc.if_else(has_failed, pc.negate(ended), ended),
        "attempt": runs["attempt"],
    }
    return _first_of_each(pa.table(keys), ("run_id",), copies)


def measurements(rows: pa.Table, name: str, copies: pa.Table | None = None) -> pa.Array:
    """Indices of each measurement once, in the order of the columns that name it; copies as for `winners`.

    Args:
        rows: of the table `name`, at least its columns in `MEASURED`.
        name: of the table.
        copies: see `winners`.
    """
    return _first_of_each(rows.select(MEASURED[name]), MEASURED[name], copies)


def _first_of_each(keys: pa.Table, group: Sequence[str], copies: pa.Table | None) -> pa.Array:
    """Index of the first row of each group, in the order of all keys."""
    if keys.num_rows == 0:
        return pa.array([], pa.uint64())
    if copies is not None:
        for name in copies.column_names:
            keys = keys.append_column(name, copies[name])
    keys = keys.combine_chunks()
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    ordered = keys.select(group).take(order)
    differ: list[pa.ChunkedArray] = [pc.not_equal(column[1:], column[:-1]) for column in ordered.columns]
    is_first = functools.reduce(pc.or_, differ)
    return order.filter(pa.chunked_array([[True], *is_first.chunks]).combine_chunks())


def one_row_each(runs: pa.Table) -> pa.Table:
    """The row that counts of every run id, sorted by run id."""
    return _taken(runs, winners(runs))


def of_attempts(measured: pa.Table, name: str, runs: pa.Table) -> pa.Table:
    """What the table `name` holds of these rows, each measurement once, sorted by run and what else names it."""
    wanted = measured.filter(pc.is_in(pairs(measured), pairs(runs)))
    return _taken(wanted, measurements(wanted, name))


def pairs(table: pa.Table) -> pa.ChunkedArray:
    """Run id and attempt of every row as one text: what names a row for good."""
    # Of small texts, whose places are counted with 32 bits, one array holds 43 million only.
    texts = (table[name].cast(pa.large_string()) for name in ("run_id", "attempt"))
    return pc.binary_join_element_wise(*texts, pa.scalar(":", pa.large_string()))


def _taken(table: pa.Table, indices: pa.Array) -> pa.Table:
    """These rows; the table itself where they are all of it in order, as in a compacted ledger."""
    is_all = len(indices) == table.num_rows and pc.all(pc.less(indices[:-1], indices[1:])).as_py()
    if is_all:
        return table
    if table.num_rows < MANY_ROWS:
        return table.take(indices)
    with ThreadPoolExecutor() as pool:  # pyarrow itself takes with one thread only
        columns = list(pool.map(lambda column: column.take(indices), table.columns))
    return pa.Table.from_arrays(columns, schema=table.schema)
