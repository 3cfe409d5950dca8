"""The status: counts add up, reasons are told, and no estimate is given where there is nothing to base it on."""

import datetime as dt
from pathlib import Path

import pytest

from study import status
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
