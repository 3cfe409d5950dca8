"""Which parts a compaction keeps, and which of several copies of a row."""

import pytest

from study import ledger_compaction
from study.ledger import Ledger
from study.ledger_parts import to_bytes


def parts(ledger: Ledger, folder: str = "runs") -> list[str]:
    return ledger.storage.names(folder)


def test_large_parts_are_left_alone_while_all_their_rows_count(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_compaction, "LARGE_ROWS", {"runs": 3, "curves": 3, "attention": 3})
    for seed in range(3):
        ledger.append([made.row(seed)], [made.curve(seed)], f"p{seed}")
    ledger.compact()
    (large,), (large_curves,) = parts(ledger), parts(ledger, "curves")
    ledger.append([made.row(3)], [made.curve(3)], "p3")
    ledger.append([made.row(4)], [made.curve(4)], "p4")
    ledger.compact()
    assert large in parts(ledger) and len(parts(ledger)) == 2
    assert large_curves in parts(ledger, "curves") and len(parts(ledger, "curves")) == 2
    ledger.append([made.row(0, minute=-1, test_accuracy=0.5)], [made.curve(0)], "an earlier result of a run in it")
    ledger.compact()
    assert large not in parts(ledger) and len(ledger.finished()) == 5
    rows = sum(ledger.storage.read(f"runs/{name}").count(b"PAR1") // 2 for name in parts(ledger))
    assert rows == len(parts(ledger)) and ledger.runs(["run_id"]).num_rows == 5


def test_of_two_copies_the_one_that_was_merged_last_stays(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes three compactions at once safe: all of them prefer the same copy, and it is never an older one."""
    monkeypatch.setattr(ledger_compaction, "LARGE_ROWS", {"runs": 2, "curves": 2, "attention": 2})
    for seed in range(3):
        ledger.append([made.row(seed)], [], f"p{seed}")
    rows = ledger.runs()
    for name, chosen in (("merged-2-a", [0, 1]), ("merged-10-a", [1, 2])):
        ledger.storage.commit(f"runs/{name}.parquet", to_bytes(rows.take(chosen)))
    ledger.compact()
    assert "merged-10-a.parquet" in parts(ledger) and "merged-2-a.parquet" not in parts(ledger)
    assert any(name.startswith("merged-11-") for name in parts(ledger)) and len(parts(ledger)) == 2
    assert ledger.runs().equals(rows)
