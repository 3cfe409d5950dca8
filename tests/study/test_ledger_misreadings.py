"""What looks like damage or absence and is neither: lack of memory, another process, a stale listing, a lost disk."""

import errno
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study import ledger_compaction
from study.errors import LedgerWarning, StorageError, UserError
from study.launch import run_grid
from study.lease import Lease
from study.ledger import Ledger
from study.ledger_parts import parse, to_bytes
from study.storage_local import LocalStorage


def part_of(ledger: Ledger, table: str = "runs") -> Path:
    (path,) = Path(ledger.uri, table).iterdir()
    return path


def test_lack_of_memory_is_no_damage(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append([made.row(0)], [made.curve(0)], "p")

    def too_large(*args, **kwargs) -> None:
        raise pa.ArrowMemoryError("malloc of size 32000000 failed")

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(pq.ParquetFile, "read", too_large)
        ledger.compact()
    assert ledger.compact() == [] and ledger.runs().num_rows == ledger.curves().num_rows == 1
    assert not Path(ledger.uri, "quarantine").exists()


def test_a_torn_part_that_is_set_aside_in_this_moment_costs_no_result(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([made.row(0)], [], "p")
    part_of(ledger).write_bytes(b"torn")
    read = LocalStorage.read

    def just_gone(self: LocalStorage, path: str) -> bytes:
        monkeypatch.setattr(LocalStorage, "read", read)
        with pytest.warns(LedgerWarning, match="set aside"):
            Ledger(ledger.uri).compact()
        return read(self, path)

    monkeypatch.setattr(LocalStorage, "read", just_gone)
    ledger.append([made.row(0)], [made.curve(0)], "p")
    assert ledger.runs().num_rows == ledger.curves().num_rows == 1


def test_a_sound_part_comes_back_from_quarantine_without_any_room(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was replaced by a sound one just before it was set aside."""
    ledger.append([made.row(0)], [], "p")
    path = part_of(ledger)
    sound = path.read_bytes()
    path.write_bytes(b"torn")
    move = LocalStorage.move

    def replaced_and_moved(self: LocalStorage, old: str, new: str) -> None:
        if old == f"runs/{path.name}":
            path.write_bytes(sound)
            monkeypatch.setattr(os, "fsync", full)
        move(self, old, new)

    def full(*args) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalStorage, "move", replaced_and_moved)
    with pytest.warns(LedgerWarning):
        ledger.compact()
    assert Ledger(ledger.uri).runs().num_rows == 1 and not list(Path(ledger.uri, "quarantine/runs").iterdir())


def test_what_was_killed_while_it_merged_is_merged_by_the_same_command(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        ledger.append([made.row(seed)], [made.curve(seed)], "p")
    in_threads = ledger_compaction.in_threads

    def killed(action, paths: list[str]) -> None:
        if any(path.startswith("runs/") for path in paths):
            raise KeyboardInterrupt
        in_threads(action, paths)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ledger_compaction, "in_threads", killed)
        ledger.compact()
    assert len(pd.read_parquet(Path(ledger.uri, "runs"))) == 6
    specs = [made.spec(seed) for seed in range(3)]
    assert run_grid(specs, out=ledger.uri).done == 3
    assert len(pd.read_parquet(Path(ledger.uri, "runs"))) == 3 and ledger.curves().num_rows == 3
    parts = sorted(Path(ledger.uri).rglob("*.parquet"))
    assert run_grid(specs, out=ledger.uri).done == 3 and sorted(Path(ledger.uri).rglob("*.parquet")) == parts


def test_a_finished_ledger_that_may_not_be_written_is_none_the_less_finished(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(2):
        ledger.append([made.row(seed)], [], "p")

    def refuse(*args) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", refuse)
    assert run_grid([made.spec(seed) for seed in range(2)], out=ledger.uri).done == 2
    assert "parts are not merged: cannot write" in caplog.text


@pytest.mark.parametrize("kind", ["link", "file", "stale"])
def test_a_folder_that_leads_nowhere_is_not_empty(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    ledger.append([made.row(0)], [], "p")
    folder = Path(ledger.uri, "runs")
    if kind == "stale":

        def stale(*args) -> None:
            raise OSError(errno.ESTALE, "Stale file handle")

        monkeypatch.setattr(os, "scandir", stale)
    else:
        shutil.rmtree(folder)
        folder.symlink_to("/not/mounted") if kind == "link" else folder.touch()
    with pytest.raises(StorageError, match=r"cannot list '.*/runs'"):
        ledger.finished()


def test_a_file_that_is_replaced_on_nfs_is_not_gone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat replaces its file: its lease must not seem free."""
    holder, other = Lease(ledger.storage, "work"), Lease(ledger.storage, "work")
    assert holder.try_acquire()
    opened = os.open
    num_stale = iter(range(2))

    def stale_at_first(path, *args) -> int:
        if str(path).endswith("work.1") and next(num_stale, None) is not None:
            raise OSError(errno.ESTALE, "Stale file handle")
        return opened(path, *args)

    monkeypatch.setattr(os, "open", stale_at_first)
    assert not other.try_acquire() and next(num_stale, None) is None
    holder.release()


def test_an_old_listing_hides_no_row(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        ledger.append([made.row(seed)], [], "p")
    old = ledger.storage.names("runs")
    ledger.compact()
    other = Ledger(ledger.uri)
    names, listings = LocalStorage.names, iter([old, old])
    monkeypatch.setattr(LocalStorage, "names", lambda self, folder="": next(listings, None) or names(self, folder))
    assert len(other.finished()) == 2 and next(listings, None) is None and other.damaged() == []


def test_a_listing_that_misses_everything_new_is_not_the_last(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([made.row(0)], [], "p")
    assert len(ledger.finished()) == 1
    known = ledger.storage.names("runs")
    Ledger(ledger.uri).append([made.row(1)], [], "p")
    names, listings = LocalStorage.names, iter([known])
    monkeypatch.setattr(LocalStorage, "names", lambda self, folder="": next(listings, None) or names(self, folder))
    assert len(ledger.finished()) == 2


def test_a_part_with_other_columns_is_refused_by_every_reader(made, ledger: Ledger) -> None:
    """As a branch of this software may write it that forgot to raise the version."""
    for seed in range(2):
        ledger.append([made.row(seed)], [], "p")
    path = min(Path(ledger.uri, "runs").iterdir())
    table = parse("x", path.read_bytes(), "runs")
    assert isinstance(table, pa.Table)
    path.write_bytes(to_bytes(table.drop_columns(["wall_seconds"])))
    with pytest.warns(LedgerWarning, match="not the ledger's columns; they differ in wall_seconds"):
        assert len(ledger.finished()) == ledger.runs().num_rows == ledger.runs(["test_accuracy"]).num_rows == 1
    assert len(ledger.damaged()) == 1
    with pytest.warns(LedgerWarning):
        ledger.compact()
    assert len(list(Path(ledger.uri, "runs").iterdir())) == 1 and ledger.damaged() == []


def test_odd_entries_beside_our_own_stop_nothing(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    from study import checkpoints

    ledger.append([made.row(0)], [], "p")
    for name in (".tmp-old", "checkpoints/x.json", "leases/work.²", "leases/work.3"):
        Path(ledger.uri, name).mkdir(parents=True)
    os.utime(Path(ledger.uri, ".tmp-old"), (0, 0))
    assert ledger.compact() == [] and checkpoints.unfinished(ledger.storage) == {}
    lease = Lease(ledger.storage, "work", expires_seconds=0.0)
    assert not lease.try_acquire() and lease.try_acquire()  # what says nothing has to expire
    assert Path(ledger.uri, "leases/work.4").is_file()
    lease.release()


def test_a_quarantine_that_is_a_file_is_no_silence(made, ledger: Ledger) -> None:
    ledger.append([made.row(0)], [], "p")
    part_of(ledger).write_bytes(b"torn")
    Path(ledger.uri, "quarantine").touch()
    with pytest.warns(LedgerWarning, match="left out: not a whole part.*cannot write"):
        (damaged,) = ledger.compact()
    assert damaged.stays and part_of(ledger).read_bytes() == b"torn"


@pytest.mark.parametrize("out", ["x" * 300, "~nobody-of-that-name/out"])
def test_places_that_cannot_be_are_one_line(out: str, tmp_path: Path) -> None:
    with pytest.raises((UserError, StorageError), match=r"File name too long|no such user"):
        Ledger(out if out.startswith("~") else str(tmp_path / out))


def test_a_marker_that_is_no_file_is_one_line(ledger: Ledger) -> None:
    marker = Path(ledger.uri, "ledger.json")
    marker.unlink()
    marker.mkdir()
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        Ledger(ledger.uri)
