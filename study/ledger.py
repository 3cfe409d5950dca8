"""The Parquet data set of finished runs and what was measured of them: the only source of truth for what is done.

OUT/ledger.json               marks the folder as a ledger
OUT/runs/<part>.parquet       one row per run that ended; `pandas.read_parquet("OUT/runs")` works
OUT/curves/<part>.parquet     one row per evaluation
OUT/attention/<part>.parquet  first-layer attention, where it is known where a run has to look
OUT/quarantine/               torn and foreign files, set aside by `compact`

Any number of workers append at the same time; a part is complete or absent and is never changed. Measurements are
committed before their rows, and carry the row's `attempt`: those without a row are ignored. Where several parts hold a
run id, every reader takes the same row: a result (done, diverged) before a failure, then the earliest result or the
last failure. Every part is sealed (`ledger_parts`): one whose bytes have changed is reported and left out, never read.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from study import ledger_compaction
from study.errors import LedgerWarning, StorageError, UserError, one_line, place
from study.ledger_marker import MARKER, check_marker, marker
from study.ledger_parts import Damaged, digest, parse, part_path, to_bytes
from study.ledger_reading import Parts, read_parts
from study.ledger_rows import KEYS, MEASURED, of_attempts, one_row_each, winners
from study.ledger_schema import COLUMNS_VERSION, FINAL, RUNS, STATUSES, TABLES, to_table
from study.spec import ENGINE_VERSION
from study.storage import Storage, open_storage

_PROBE = ".probe"  # one name, so that whoever died with it in place is tidied up after


class Ledger:
    """The ledger at a local path or a URI that `pyarrow.fs` opens. Opening it writes nothing.

    Raises:
        UserError: the place cannot be opened, or holds something that is no ledger of this version.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.storage: Storage = open_storage(uri)
        self._keys: dict[str, pa.Table] = {}
        self._told: set[str] = set()
        kind = self.storage.kind()
        if kind == "file":
            raise UserError(f"'{place(uri)}' is a file; --out needs a folder")
        names = self.storage.names() if kind == "folder" else []
        self.exists = MARKER in names
        if self.exists:
            check_marker(self.storage)
        elif names:
            shown = ", ".join(names[:3])
            raise UserError(f"'{place(uri)}' holds other files ({shown}): no ledger; give a new or empty folder")

    def prepare(self) -> None:
        """Make the ledger where it is missing, and make sure that it can be written.

        Raises:
            UserError: it cannot be written.
        """
        try:
            self.storage.replace(_PROBE, b"")
            self.storage.remove(_PROBE)
            self.storage.commit(MARKER, marker())
        except OSError as error:
            raise UserError(f"cannot write to the ledger: {one_line(error)}") from None
        self.exists = True

    def append(
        self,
        rows: Sequence[Mapping[str, Any]],
        curves: Sequence[Mapping[str, Any]],
        pack_id: str,
        attention: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Commit the rows of runs that ended, with what was measured of them, as one execution of their pack.

        Stamps schema_version, engine_version, attempt and pack_id. Results of a set of runs are committed once: if
        another execution of the same runs was first, nothing changes. Failures are always kept, beside any result.

        Args:
            rows: the other columns of `ledger_schema.RUNS`; a key left out is null.
            curves: the columns of `ledger_schema.CURVES` without attempt, of these runs only.
            pack_id: the pack that was executed.
            attention: the columns of `ledger_schema.ATTENTION` without attempt, of these runs only.
        """
        ids = [row["run_id"] for row in rows]
        assert rows and len(set(ids)) == len(ids), "each run ends once"
        assert all(row["status"] in STATUSES for row in rows)
        assert {each["run_id"] for each in (*curves, *attention)} <= set(ids), "measurements of runs that did not end"
        attempt = uuid.uuid4().hex
        stamp = {"schema_version": COLUMNS_VERSION, "engine_version": ENGINE_VERSION, "attempt": attempt}
        measured = {"curves": curves, "attention": attention}
        paths = {name: f"{name}/{digest([*ids, attempt])}.parquet" for name in measured if measured[name]}
        for name, path in paths.items():
            table = to_table([{**each, "attempt": attempt} for each in measured[name]], TABLES[name])
            self.storage.commit(path, to_bytes(table))
        failed = [{**row, **stamp, "pack_id": pack_id} for row in rows if row["status"] not in FINAL]
        final = [{**row, **stamp, "pack_id": pack_id} for row in rows if row["status"] in FINAL]
        if failed:
            self.storage.commit(part_path("runs", failed, attempt), to_bytes(to_table(failed, RUNS)))
        if final and not self._commit_results(final, attempt) and not failed:
            for path in paths.values():
                self.storage.remove(path)

    def _commit_results(self, rows: list[dict[str, Any]], attempt: str) -> bool:
        data = to_bytes(to_table(rows, RUNS))
        path = part_path("runs", rows)
        if self.storage.commit(path, data):
            return True
        try:
            if not isinstance(parse(path, self.storage.read(path), "runs"), Damaged):
                return False
        except StorageError:
            raise
        except OSError:
            pass  # unreadable; or gone by now, and nobody knows whether merged or set aside: a row too many is harmless
        return self.storage.commit(part_path("runs", rows, attempt), data)

    def has_results(self, run_ids: Sequence[str]) -> bool:
        """Whether results of exactly these runs were committed together: one look-up, however large the ledger is.

        False does not mean that they have none: parts are merged by `compact`, and runs packed anew.
        """
        path = f"runs/{digest(run_ids)}.parquet"
        if self.storage.kind(path) != "file":
            return False
        try:
            return not isinstance(parse(path, self.storage.read(path), "runs"), Damaged)
        except StorageError:
            raise
        except OSError:
            return False  # gone by now, or nothing that anybody can read

    def finished(self) -> dict[str, str]:
        """Status of every run that ended, by run id. Parts that were read before are not read again."""
        return self._by_run("status")

    def attempts(self) -> dict[str, str]:
        """Attempt of the row that counts, by run id: a run that failed again has another one. Read as by `finished`."""
        return self._by_run("attempt")

    def _by_run(self, column: str) -> dict[str, str]:
        self._keys |= self._read("runs", KEYS, known=self._keys).tables
        keys = self._known()
        best = keys.select(["run_id", column]).take(winners(keys))
        return dict(zip(best["run_id"].to_pylist(), best[column].to_pylist(), strict=True))

    def _known(self) -> pa.Table:
        """Keys of all rows that were read so far, those of one run in several parts included."""
        return pa.concat_tables([RUNS.empty_table().select(KEYS), *self._keys.values()])

    def is_untidy(self) -> bool:
        """Whether, as far as `finished` has read, rows lie in small parts, or some of them twice, or damaged.

        Other readers of Parquet than this class see each run once only where nothing is left to merge.
        """
        if self._told or any(not ledger_compaction.is_merged(path) for path in self._keys):
            return True
        keys = self._known()
        return keys.num_rows > pc.count_distinct(keys["run_id"]).as_py()

    def runs(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The table `ledger_schema.RUNS`, one row per run id, sorted by it; damaged parts are warned of.

        Args:
            columns: only these, which is faster; all by default.
        """
        needed = None if columns is None else sorted({*columns, *KEYS})
        rows = one_row_each(self._read("runs", needed).merged(RUNS, needed))
        return rows if columns is None else rows.select(columns)

    def curves(self) -> pa.Table:
        """The table `ledger_schema.CURVES` of the rows that `runs` returns, sorted by run, step and split."""
        return self._measured("curves")

    def attention(self) -> pa.Table:
        """The table `ledger_schema.ATTENTION` of the rows that `runs` returns, sorted by run, state and query."""
        return self._measured("attention")

    def _measured(self, name: str) -> pa.Table:
        rows = self._read("runs", KEYS).merged(RUNS, KEYS)
        # Read second: whatever row was there, its measurements were before.
        return of_attempts(self._read(name).merged(TABLES[name]), name, rows.take(winners(rows)))

    def damaged(self) -> list[Damaged]:
        """Torn, foreign and unreadable files among the parts."""
        parts = [read_parts(self.storage, name, columns) for name, columns in {"runs": KEYS, **MEASURED}.items()]
        return [each.damaged[path] for each in parts for path in sorted(each.damaged)]

    def compact(self) -> list[Damaged]:
        """Merge the parts into few large ones and set damaged files aside, which are warned of and returned.

        May be called at any time and killed at any time, also while others append, read or compact: see
        `ledger_compaction`. Files that may be sound for somebody else (a newer version, another user) stay.

        Raises:
            StorageError: the place fails; nothing is lost.
        """
        aside = ledger_compaction.compact(self.storage)
        for damaged in aside:
            done = "left out" if damaged.stays else "set aside in quarantine/"
            warnings.warn(f"{damaged.path} {done}: {damaged.reason}", LedgerWarning, stacklevel=2)
        return aside

    def _read(self, name: str, columns: Sequence[str] | None = None, known: Iterable[str] = ()) -> Parts:
        """Every part of a table; of damaged ones this ledger warns once."""
        parts = read_parts(self.storage, name, columns, known=set(known))
        for path in sorted(parts.damaged.keys() - self._told):
            self._told.add(path)
            damaged = parts.damaged[path]
            warnings.warn(f"{damaged.path} left out: {damaged.reason}", LedgerWarning, stacklevel=3)
        return parts


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


def read_attention(uri: str) -> pa.Table:
    """First-layer attention of the rows of `read_runs`, in the columns of `ledger_schema.ATTENTION`.

    Raises:
        UserError: there is no ledger at this path or URI.
    """
    return open_existing(uri).attention()


def open_existing(uri: str) -> Ledger:
    """The ledger at this path or URI.

    Raises:
        UserError: there is none.
    """
    ledger = Ledger(uri)
    if not ledger.exists:
        raise UserError(f"there is no ledger at '{place(uri)}'; `study run GRID --out {place(uri)}` makes one")
    return ledger
