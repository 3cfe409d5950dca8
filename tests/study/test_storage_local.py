"""Files in a folder: complete or absent, exclusive, and no room is told in one line."""

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from study.__main__ import main
from study.errors import StorageError, StorageFull
from study.ledger import Ledger
from study.storage import open_storage

CLAIM = """
import json, sys
from study.storage import open_storage
storage, me = open_storage(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
numbers = [(number + 30 * me) % 90 for number in range(90)]  # each begins elsewhere, and all meet
print(json.dumps([number for number in numbers if storage.commit(f"claims/{number}", sys.argv[2].encode())]))
"""


def test_of_several_processes_one_wins_each_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLAIM, str(tmp_path)]
    writers = [subprocess.Popen([*command, str(number)], stdin=-1, stdout=-1, text=True) for number in range(3)]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    won = [json.loads(writer.communicate()[0]) for writer in writers]
    assert sorted(number for each in won for number in each) == list(range(90)) and all(won)
    for writer, numbers in enumerate(won):
        assert {(tmp_path / "claims" / str(number)).read_text() for number in numbers} == {str(writer)}


def test_replacing_shows_the_old_or_the_new(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    for text in (b"one", b"two"):
        storage.replace("folder/file", text)
        assert storage.read("folder/file") == text and storage.names("folder") == ["file"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def whole_and_alone(made, ledger: Ledger) -> None:
    """Everything from before is there, nothing else is."""
    assert ledger.finished() == {made.run_id(0): "done"} and ledger.curves().num_rows == 1
    assert len([path for path in Path(ledger.uri).rglob("*") if path.is_file()]) == 3


def test_a_full_disk_leaves_the_part_absent_and_the_others_whole(made, ledger: Ledger) -> None:
    ledger.append([made.row(0)], [made.curve(0)], "before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system's own limit on the size of a file: the write itself stops half-way.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(StorageFull, match=r"no room to write '.*/runs/.*' \(File too large\)") as refusal:
            ledger.append([made.row(1)], [], "after")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(refusal.value) and isinstance(pickle.loads(pickle.dumps(refusal.value)), StorageFull)
    whole_and_alone(made, ledger)
    ledger.append([made.row(1)], [], "after")
    assert len(ledger.finished()) == 2


@pytest.mark.parametrize("operation", ["fsync", "link", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_at_any_step(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, operation: str, number: int
) -> None:
    ledger.append([made.row(0)], [made.curve(0)], "before")

    def full(*args, **kwargs) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, pytest.raises(StorageFull):
        patch.setattr(Path if operation == "open" else os, operation, full)
        ledger.append([made.row(1)], [], "after")
    whole_and_alone(made, ledger)


def test_a_full_disk_stops_a_compaction_and_nothing_is_lost(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        ledger.append([made.row(seed)], [made.curve(seed)], "p")
    runs, curves = ledger.runs(), ledger.curves()

    def full(*args) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(StorageFull):
        patch.setattr(os, "fsync", full)
        ledger.compact()
    assert ledger.runs().equals(runs) and ledger.curves().equals(curves)


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EPERM])
def test_file_systems_without_hard_links(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse(*args) -> None:
        raise OSError(error, "no hard links")

    monkeypatch.setattr(os, "link", refuse)
    ledger.append([made.row(0, test_accuracy=0.1)], [], "p")
    ledger.append([made.row(0, test_accuracy=0.2)], [], "p")
    assert ledger.runs()["test_accuracy"].to_pylist() == [0.1] and len(list(Path(ledger.uri, "runs").iterdir())) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.EEXIST])
def test_an_answer_that_nfs_loses(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The second is what it says when it was asked again."""
    link = os.link

    def linked_but_told_otherwise(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", linked_but_told_otherwise)
    assert ledger.storage.commit("x", b"data") and ledger.storage.read("x") == b"data"


def test_a_place_that_may_not_be_listed_is_no_empty_place(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StorageError, match=r"cannot list '.*/runs': Permission denied"):
        ledger.finished()


def test_temporary_files_are_swept_when_a_day_old(made, ledger: Ledger) -> None:
    ledger.append([made.row(0)], [], "p")
    old, new = (Path(ledger.uri) / "runs" / f".tmp-{name}" for name in ("old", "elsewhere-1-x"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    ledger.compact()
    assert new.exists() and not old.exists()


def test_temporary_files_of_dead_processes_of_this_machine_are_swept_at_once(ledger: Ledger) -> None:
    killed = """
import os, signal, sys
from study.storage import open_storage
os.link = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
open_storage(sys.argv[1]).commit("bodies/key/model", b"whole")
"""
    subprocess.run([sys.executable, "-c", killed, ledger.uri], check=False)
    left = [*Path(ledger.uri).rglob(".tmp-*")]
    own = left[0].with_name(left[0].name.replace(left[0].name.split("-")[2], str(os.getpid())))
    own.touch()
    ledger.storage.sweep()
    assert len(left) == 1 and not left[0].exists() and own.exists()


def test_the_command_line_says_it_in_one_line(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    scandir = os.scandir

    def broken(path: str | Path = "."):
        if str(path).startswith(ledger.uri):
            raise OSError(errno.EIO, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", broken)
    assert main(["status", "smoke", "--out", ledger.uri]) == 2
    assert capsys.readouterr().err == f"study: cannot list '{ledger.uri}': Input/output error\n"
