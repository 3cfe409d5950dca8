"""The Parquet data set of finished runs and their curves: the only source of truth for what is done.

OUT/ledger.json            marks the folder as a ledger
OUT/runs/<part>.parquet    one row per run that ended; `pandas.read_parquet("OUT/runs")` works
OUT/curves/<part>.parquet  one row per evaluation
OUT/quarantine/            torn and foreign files, set aside by `compact`

Any number of workers append at the same time; a part is complete or absent and is never changed. Curves are committed
before their rows, and carry the row's `attempt`: curves without a row are ignored. Where several parts hold a run id,
every reader takes the same row: a result (done, diverged) before a failure, then the earliest result or last failure.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from study.errors import LedgerWarning, UserError, one_line
from study.ledger_parts import Damaged, Key, Parts, keys_of, of_attempts, one_row_each, pairs, parse, to_bytes, winners
from study.ledger_schema import CURVES, FINAL, RUNS, STATUSES, to_table
from study.spec import ENGINE_VERSION, SCHEMA_VERSION
from study.storage import Storage, open_storage

MARKER = "ledger.json"
_MARKER = {"ledger": "fpt-study", "schema_version": SCHEMA_VERSION}
_SCHEMAS = {"runs": RUNS, "curves": CURVES}


class Ledger:
    """The ledger at a local path or a URI that `pyarrow.fs` opens. Opening it writes nothing.

    Raises:
        UserError: the place cannot be opened, or holds something that is no ledger of this version.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.storage: Storage = open_storage(uri)
        self._keys: dict[str, list[Key]] = {}
        kind = self.storage.kind()
        if kind == "file":
            raise UserError(f"'{one_line(uri)}' is a file; --out needs a folder")
        names = self.storage.names() if kind == "folder" else []
        self.exists = MARKER in names
        if self.exists:
            self._check_marker()
        elif names:
            shown = ", ".join(names[:3])
            raise UserError(f"'{one_line(uri)}' holds other files ({shown}): no ledger; give a new or empty folder")

    def _check_marker(self) -> None:
        try:
            marker = json.loads(self.storage.read(MARKER))
        except ValueError:
            marker = None
        if marker != _MARKER:
            raise UserError(f"'{one_line(self.uri)}/{MARKER}' is not that of a ledger of version {SCHEMA_VERSION}")

    def prepare(self) -> None:
        """Make the ledger where it is missing, and make sure that it can be written.

        Raises:
            UserError: it cannot be written.
        """
        probe = f".probe-{uuid.uuid4().hex}"
        try:
            self.storage.commit(probe, b"")
            self.storage.remove(probe)
            self.storage.commit(MARKER, json.dumps(_MARKER).encode())
        except OSError as error:
            raise UserError(f"cannot write to '{one_line(self.uri)}': {one_line(error)}") from None
        self.exists = True

    def append(self, rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]], pack_id: str) -> None:
        """Commit the rows of runs that ended, with their curves, as one execution of their pack.

        Stamps schema_version, engine_version, attempt and pack_id. Results of a set of runs are committed once: if
        another execution of the same runs was first, nothing changes. Failures are always kept, beside any result.

        Args:
            rows: the other columns of `ledger_schema.RUNS`; a key left out is null.
            curves: the columns of `ledger_schema.CURVES` without attempt, of these runs only.
            pack_id: the pack that was executed.
        """
        ids = [row["run_id"] for row in rows]
        assert rows and len(set(ids)) == len(ids), "each run ends once"
        assert all(row["status"] in STATUSES for row in rows)
        assert {curve["run_id"] for curve in curves} <= set(ids), "curves of runs that did not end"
        attempt = uuid.uuid4().hex
        stamp = {"schema_version": SCHEMA_VERSION, "engine_version": ENGINE_VERSION, "attempt": attempt}
        curves_path = f"curves/{_digest([*ids, attempt])}.parquet"
        if curves:
            table = to_table([{**curve, "attempt": attempt} for curve in curves], CURVES)
            self.storage.commit(curves_path, to_bytes(table))
        failed = [{**row, **stamp, "pack_id": pack_id} for row in rows if row["status"] not in FINAL]
        final = [{**row, **stamp, "pack_id": pack_id} for row in rows if row["status"] in FINAL]
        if failed:
            self.storage.commit(_part("runs", failed, attempt), to_bytes(to_table(failed, RUNS)))
        if final and not self._commit_results(final, attempt) and not failed:
            self.storage.remove(curves_path)

    def _commit_results(self, rows: list[dict[str, Any]], attempt: str) -> bool:
        data = to_bytes(to_table(rows, RUNS))
        path = _part("runs", rows)
        if self.storage.commit(path, data):
            return True
        if not isinstance(parse(path, self.storage.read(path), RUNS), Damaged):
            return False
        return self.storage.commit(_part("runs", rows, attempt), data)

    def finished(self) -> dict[str, str]:
        """Status of every run that ended, by run id. Parts that were read before are not read again."""
        parts = self._read("runs", skip=set(self._keys))
        self._keys = {path: keys for path, keys in self._keys.items() if path in parts.paths}
        self._keys |= {path: keys_of(table) for path, table in parts.tables.items()}
        best = winners(key for keys in self._keys.values() for key in keys)
        return {run_id: key.status for run_id, key in best.items()}

    def runs(self) -> pa.Table:
        """The table `ledger_schema.RUNS`, one row per run id, sorted by it; damaged parts are warned of."""
        parts = self._read("runs")
        _warn(parts)
        return one_row_each(parts.merged(RUNS))

    def curves(self) -> pa.Table:
        """The table `ledger_schema.CURVES` of the rows that `runs` returns, sorted by run, step and split."""
        parts = self._read("curves")
        _warn(parts)
        return of_attempts(parts.merged(CURVES), one_row_each(self._read("runs").merged(RUNS)))

    def damaged(self) -> list[Damaged]:
        """Torn and foreign files among the parts."""
        return [damaged for folder in _SCHEMAS for damaged in self._read(folder).damaged]

    def compact(self) -> list[Damaged]:
        """Merge the parts into one per table and set damaged files aside, which are returned. One process at a time.

        A crash at any point loses nothing: the merged part is complete before its sources go, and until they are
        gone readers see every row twice and take it once. Appending goes on meanwhile.
        """
        for folder in _SCHEMAS:
            self.storage.sweep(folder)
        runs, curves = self._read("runs"), self._read("curves")
        for damaged in (*runs.damaged, *curves.damaged):
            target = f"quarantine/{damaged.path}"
            is_free = self.storage.kind(target) == "missing"
            self.storage.move(damaged.path, target if is_free else f"{target}-{uuid.uuid4().hex[:8]}")
        # Curves first: afterwards the rows that lost are forgotten, and with them that their curves may go.
        all_rows = runs.merged(RUNS)
        known = set(pairs(all_rows))
        ended = {path: table for path, table in curves.tables.items() if known.issuperset(pairs(table))}
        rows = one_row_each(all_rows)
        if ended:
            self._replace("curves", list(ended), of_attempts(pa.concat_tables(ended.values()), rows))
        if runs.tables:
            self._replace("runs", list(runs.tables), rows)
        return [*runs.damaged, *curves.damaged]

    def _replace(self, folder: str, sources: list[str], merged: pa.Table) -> None:
        # Named by its content, so that a compaction that was interrupted and repeated writes the same part.
        target = f"{folder}/merged-{_digest(sorted({':'.join(pair) for pair in pairs(merged)}))}.parquet"
        if merged.num_rows and target not in sources:
            self.storage.commit(target, to_bytes(merged))
        for source in sources:
            if source != target:
                self.storage.remove(source)

    def _read(self, folder: str, skip: Iterable[str] = ()) -> Parts:
        for _ in range(10):
            parts = Parts([f"{folder}/{name}" for name in self.storage.names(folder)], {}, [])
            try:
                for path in parts.paths:
                    if path not in skip:
                        parts.add(path, parse(path, self._bytes(path), _SCHEMAS[folder]))
            except FileNotFoundError:
                continue  # another process has just merged this part: list again
            return parts
        raise UserError(f"'{one_line(self.uri)}/{folder}' keeps changing; try again")

    def _bytes(self, path: str) -> bytes | None:
        return None if self.storage.kind(path) == "folder" else self.storage.read(path)


def read_runs(uri: str) -> pa.Table:
    """Every run that ended, once, in the columns of `ledger_schema.RUNS`.

    Raises:
        UserError: there is no ledger at this path or URI.
    """
    return open_existing(uri).runs()


def read_curves(uri: str) -> pa.Table:
    """Every evaluation of the rows of `read_runs`, in the columns of `ledger_schema.CURVES`.

    Raises:
        UserError: there is no ledger at this path or URI.
    """
    return open_existing(uri).curves()


def open_existing(uri: str) -> Ledger:
    """The ledger at this path or URI.

    Raises:
        UserError: there is none.
    """
    ledger = Ledger(uri)
    if not ledger.exists:
        raise UserError(f"there is no ledger at '{one_line(uri)}'; `study run GRID --out {one_line(uri)}` makes one")
    return ledger


def _warn(parts: Parts) -> None:
    for damaged in parts.damaged:
        warnings.warn(f"{damaged.path} left out: {damaged.reason}", LedgerWarning, stacklevel=3)


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def _part(folder: str, rows: Sequence[Mapping[str, Any]], attempt: str | None = None) -> str:
    """Path of a part: by its run ids, so that of two executions one wins; with the attempt, where both must stay."""
    suffix = f"-{attempt[:8]}" if attempt else ""
    return f"{folder}/{_digest(row['run_id'] for row in rows)}{suffix}.parquet"
