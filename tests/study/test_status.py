"""The status: counts add up, reasons are told, and no estimate is given where there is nothing to base it on."""

import datetime as dt
import itertools
import json
import os
import time
from pathlib import Path

import pytest

from study import processes, running, status
from study.errors import StorageError
from study.ledger import Ledger
from study.spec import RunSpec

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def runs(number: int) -> list[RunSpec]:
    return [
        RunSpec(task="digits", size="nano", init="random", num_steps=2, eval_every_steps=1, seed=seed)
        for seed in range(number)
    ]


def filled(path: Path, statuses: list[str]) -> Ledger:
    ledger = Ledger(str(path))
    ledger.prepare()
    for run, ended in zip(runs(len(statuses)), statuses, strict=True):
        error = "no [data] here" if ended == "failed" else None
        row = {**run.as_columns(), "run_id": run.run_id, "status": ended, "error": error, "ended_at": NOW}
        ledger.append([row], [], "p")
    return ledger


def test_counts_and_reasons(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "out", ["done", "done", "diverged", "failed", "failed"])
    document = status.answer("mine", runs(7)[1:], ledger).document
    counts = {name: document[name] for name in ("grid", "total", "done", "failed", "diverged", "missing", "all_done")}
    assert counts == {
        "grid": "mine", "total": 6, "done": 1, "failed": 2, "diverged": 1, "missing": 2, "all_done": False,
    }  # fmt: skip
    assert document["failures"] == {"no [data] here": 2}
    assert any(
        "--retry-failed" in line for line in status.answer("mine", runs(7), ledger).shown if isinstance(line, str)
    )


def test_a_diverged_run_is_a_result(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "out", ["done", "diverged"])
    assert status.answer("mine", runs(2), ledger).document["all_done"] is True


def test_damaged_parts_are_told(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "out", ["done"])
    (tmp_path / "out" / "runs" / "torn.parquet").write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="torn.parquet"):
        document = status.answer("mine", runs(1), ledger).document
    assert len(document["damaged_parts"]) == 1 and document["damaged_parts"][0].startswith("runs/torn.parquet")


def test_eta_follows_the_recent_pace() -> None:
    ended = [NOW - dt.timedelta(minutes=minute) for minute in (1, 2, 3, 4, 300)]
    # Three runs ended in the four minutes since the first recent one.
    assert status.eta_seconds(ended, 6, NOW) == pytest.approx(6 / (3 / 240))


@pytest.mark.parametrize("minutes", [[], [1], [11, 12, 13], [40, 50]])
def test_no_eta_without_a_pace(minutes: list[int]) -> None:
    assert status.eta_seconds([NOW - dt.timedelta(minutes=m) for m in minutes], 5, NOW) is None


def test_no_eta_when_nothing_is_missing() -> None:
    assert status.eta_seconds([NOW, NOW], 0, NOW) is None


def tell(ledger: Ledger, seconds_ago: float, machine: str = "elsewhere", **state: object) -> None:
    told_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
    who = {"host": "node7", "pid": 42, "machine": machine, "process_started": -1}
    document = {**who, "told_at": told_at.isoformat(), "state": state}
    ledger.storage.replace(f"running/{seconds_ago}.json", json.dumps(document).encode())


def test_what_a_living_driver_trains_is_running(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "out", ["done", "done"])
    grid = runs(5)
    tell(
        ledger, 3, run_ids=[grid[1].run_id, grid[2].run_id, grid[3].run_id, "another grid's"], trials_at_work=2,
        eta_seconds=600.0, ended_per_minute=2.5, flops_per_second=3.2e12, gpu_memory_bytes=3 << 30, counted="runs",
    )  # fmt: skip
    reply = status.answer("mine", grid, ledger)
    document = reply.document
    # The second run has a row already: its pack goes on for the others.
    assert (document["missing"], document["running"], document["eta_seconds"]) == (3, 2, 600.0)
    (driver,) = document["drivers"]
    assert driver["is_alive"] and driver["host"] == "node7" and "run_ids" not in driver
    lines = " ".join(line for line in reply.shown if isinstance(line, str))
    assert "2 trials at work, 2.5 runs/min, 3.2TFLOP/s, 3.0 GiB of GPU memory" in lines and "done in 10 min" in lines


def test_a_silent_driver_runs_nothing(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "out", ["done"])
    tell(ledger, 300, run_ids=[run.run_id for run in runs(3)], eta_seconds=600.0)
    reply = status.answer("mine", runs(3), ledger)
    assert (reply.document["running"], reply.document["eta_seconds"]) == (0, None)
    assert "the driver (process 42 on node7) was last heard 5 min ago; the same `study run` continues" in reply.shown


def test_on_its_own_machine_a_dead_driver_is_known_at_once(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "out", ["done"])
    tell(ledger, 1, machine=processes.machine(), run_ids=[run.run_id for run in runs(3)])
    document = status.answer("mine", runs(3), ledger).document
    assert document["running"] == 0 and document["drivers"][0]["is_alive"] is False


@pytest.mark.parametrize("content", [b"", b"[]", b'{"told_at": 3}', b"\xff", b'{"host": "a", "pid": 1}'])
def test_what_no_driver_wrote_is_no_driver(tmp_path: Path, content: bytes) -> None:
    ledger = filled(tmp_path / "out", ["done"])
    ledger.storage.replace("running/x.json", content)
    assert status.answer("mine", runs(1), ledger).document["drivers"] == []


def test_a_driver_tells_of_itself_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PERIOD_SECONDS", 0.01)
    ledger = filled(tmp_path / "out", ["done"])
    tell(ledger, 500)  # of a driver that died
    counter = itertools.count()
    with running.told(ledger.storage, lambda: {"count": next(counter)}):
        until = time.monotonic() + 20
        while not [driver for driver in running.drivers(ledger.storage) if driver.state["count"] >= 2]:
            assert time.monotonic() < until
        (driver,) = running.drivers(ledger.storage)
        assert driver.is_alive and driver.pid == os.getpid()
    assert list((tmp_path / "out" / "running").iterdir()) == []


def test_a_place_that_fails_stops_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = filled(tmp_path / "out", ["done"])

    def fail(*args: object) -> None:
        raise StorageError("the disk is full")

    for name in ("replace", "remove"):
        monkeypatch.setattr(ledger.storage, name, fail)
    with running.told(ledger.storage, dict):
        pass
