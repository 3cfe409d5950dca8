"""Checkpoints of packs: a pack that is torn from its worker goes on where it was, and its results are the same."""

import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from study import checkpoints, training
from study.checkpoints import unfinished
from study.execution import Execution
from study.ledger import Ledger
from study.origin import Origin
from study.packing import Pack
from study.spec import RunSpec
from study.training import Training

ORIGIN = Origin(revision=None, device=torch.device("cpu"), checkpoint_seconds=0.0)
TIMES = ("wall_seconds", "examples_per_second", "started_at", "ended_at", "attempt")


def pack_of(*num_steps: int, **changes) -> Pack:
    values = {
        "task": "bit-xor",
        "task_args": {"num_valid_examples": 16, "num_test_examples": 16},
        "size": "nano",
        "num_layers": 1,
        "init": "random",
        "eval_every_steps": 6,
    }
    return Pack(tuple(RunSpec(**values | changes, num_steps=n, seed=seed) for seed, n in enumerate(num_steps)))


PACK = pack_of(14, 20, 20)


@pytest.fixture(autouse=True)
def pauses_after_every_step(monkeypatch):
    monkeypatch.setattr(training, "_PAUSE_SECONDS", 0.0)


def ledger_at(folder: Path) -> Ledger:
    made = Ledger(str(folder))
    made.prepare()
    return made


def measured(ledger: Ledger) -> tuple[str, str]:
    """Every measured column of rows and curves, as text: a NaN equals no other."""
    tables = [ledger.runs(), ledger.curves()]
    shown = [table.drop_columns([name for name in TIMES if name in table.column_names]) for table in tables]
    return str(shown[0].to_pylist()), str(shown[1].to_pylist())


@contextlib.contextmanager
def torn_after(num_pauses: int, ledger: Ledger, origin: Origin = ORIGIN) -> Iterator[Execution]:
    """A worker that is gone after so many pauses."""
    execution = Execution(PACK, ledger=ledger, origin=origin)
    steps = execution.steps()
    for _ in range(num_pauses):
        next(steps)
    yield execution


def finish(ledger: Ledger, origin: Origin = ORIGIN, **options) -> None:
    for _ in Execution(PACK, ledger=ledger, origin=origin, **options).steps():
        pass


class Counting(Training):
    """Tells how many updates were made."""

    num_updates = 0

    def advance(self, num_steps: int) -> None:
        type(self).num_updates += num_steps
        super().advance(num_steps)


@pytest.mark.parametrize("num_pauses", [3, 8, 18])
def test_a_pack_goes_on_where_its_worker_was_lost(tmp_path, num_pauses):
    """Before the first evaluation, after it, and after one of its runs has ended; then once more."""
    whole, torn = ledger_at(tmp_path / "whole"), ledger_at(tmp_path / "torn")
    finish(whole)
    with torn_after(num_pauses, torn):
        assert unfinished(torn.storage) == {PACK.pack_id: [run.run_id for run in PACK.runs]}
    with torn_after(2, torn):
        Counting.num_updates = 0
        finish(torn, make_engine=Counting)
    assert Counting.num_updates < 20
    assert measured(torn) == measured(whole)
    assert not list((tmp_path / "torn" / "checkpoints").iterdir())


def test_times_count_what_was_before(tmp_path, monkeypatch):
    ledger = ledger_at(tmp_path)
    with monkeypatch.context() as patch:
        clock = itertools.count(step=1000.0)
        patch.setattr(training.time, "perf_counter", lambda: next(clock))
        with torn_after(8, ledger):
            pass
    finish(ledger)
    for row in ledger.runs().to_pylist():
        assert row["wall_seconds"] > 300 and row["started_at"] < row["ended_at"]


def test_a_short_pack_writes_none(tmp_path):
    ledger = ledger_at(tmp_path)
    finish(ledger, origin=dataclasses.replace(ORIGIN, checkpoint_seconds=60.0))
    assert not (tmp_path / "checkpoints").exists()


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    ledger = ledger_at(tmp_path)
    replace, written = ledger.storage.replace, []

    def slow(path: str, data: bytes) -> None:
        written.append(path)
        now[0] += 1.0
        replace(path, data)

    now = [0.0]
    monkeypatch.setattr(ledger.storage, "replace", slow)
    monkeypatch.setattr("study.state_file.time.monotonic", lambda: now[0])
    execution = Execution(PACK, ledger=ledger, origin=dataclasses.replace(ORIGIN, checkpoint_seconds=20.0))
    for _ in execution.steps():
        now[0] += 10.0  # 24 pauses
    assert 3 <= len(written) <= 5


@pytest.mark.parametrize(("num_pauses", "seconds", "is_kept"), [(8, 3600.0, False), (1, 0.0, False), (8, 0.3, True)])
def test_a_stopped_trial_keeps_what_is_worth_it(tmp_path, num_pauses, seconds, is_kept):
    """Not a second of work, nor step 0, which is quickly made anew."""
    ledger = ledger_at(tmp_path)
    with torn_after(num_pauses, ledger, dataclasses.replace(ORIGIN, checkpoint_seconds=seconds)) as execution:
        checkpoints.remove(ledger.storage, PACK.pack_id)
        time.sleep(seconds if is_kept else 0)
        execution.stop()
    assert (tmp_path / "checkpoints" / f"{PACK.pack_id}.safetensors").exists() == is_kept


STAMPS = {
    "torch": lambda origin, monkeypatch: monkeypatch.setattr("study.origin.versions", lambda: {"torch": "9.9"}),
    "device": lambda origin, monkeypatch: monkeypatch.setattr("study.origin.device_name", lambda device: "another"),
}


@pytest.mark.parametrize("what", ["torch", "device", "torn", "foreign", "altered"])
def test_what_cannot_be_continued_is_set_aside_with_a_warning(tmp_path, monkeypatch, caplog, what):
    whole, torn = ledger_at(tmp_path / "whole"), ledger_at(tmp_path / "torn")
    with torn_after(18, torn):
        pass
    path = tmp_path / "torn" / "checkpoints" / f"{PACK.pack_id}.safetensors"
    data = path.read_bytes()
    if what in STAMPS:
        STAMPS[what](ORIGIN, monkeypatch)
    else:
        middle = len(data) // 2
        altered = data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]
        path.write_bytes({"torn": data[:middle], "foreign": b"PK\3\4", "altered": altered}[what])
    with caplog.at_level(logging.WARNING):
        finish(torn)
    assert f"pack {PACK.pack_id} starts anew" in caplog.text
    finish(whole)
    assert measured(torn) == measured(whole)
    assert not list((tmp_path / "torn" / "checkpoints").iterdir())


def test_a_state_of_another_layout_starts_anew(tmp_path, monkeypatch, caplog):
    ledger = ledger_at(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "state_dict", lambda self: {"step": self.step})
        with torn_after(18, ledger):
            pass
    finish(ledger)
    assert "starts anew" in caplog.text and ledger.runs().num_rows == 3


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch, caplog):
    from study.errors import StorageFull

    ledger = ledger_at(tmp_path)

    def full(path: str, data: bytes) -> None:
        raise StorageFull("no room")

    monkeypatch.setattr(ledger.storage, "replace", full)
    finish(ledger)
    assert "no room" in caplog.text and ledger.runs().num_rows == 3
    assert not list((tmp_path / "checkpoints").iterdir())


def test_lists_that_are_none_are_passed_over(tmp_path):
    ledger = ledger_at(tmp_path)
    with torn_after(8, ledger):
        pass
    (tmp_path / "checkpoints" / "odd.json").write_text("{")
    (tmp_path / "checkpoints" / "odder.json").write_text("7")
    assert list(unfinished(ledger.storage)) == [PACK.pack_id]
    checkpoints.remove(ledger.storage, PACK.pack_id)
    assert unfinished(ledger.storage) == {}
