"""Rows go into the ledger and come out once: no row is lost, none counts twice, nothing half-written is read."""

import datetime as dt
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study import ledger_rows
from study.errors import LedgerWarning, UserError
from study.ledger import Ledger, read_curves, read_runs
from study.ledger_rows import KEYS, pairs, winners
from study.ledger_schema import CURVES, RUNS, SPEC_COLUMNS


def parts(ledger: Ledger, folder: str = "runs") -> list[str]:
    return ledger.storage.names(folder)


def test_rows_come_back_as_written(made, ledger: Ledger) -> None:
    ledger.append(
        [made.row(0, test_accuracy=0.75), made.row(1, "diverged")],
        [made.curve(0), made.curve(0, 2), made.curve(1)],
        "pack",
    )
    runs, curves = read_runs(ledger.uri), read_curves(ledger.uri)
    assert runs.schema.equals(RUNS, check_metadata=True) and curves.schema.equals(CURVES, check_metadata=True)
    assert ledger.finished() == {made.run_id(0): "done", made.run_id(1): "diverged"}
    by_id = {each["run_id"]: each for each in runs.to_pylist()}
    assert by_id[made.run_id(0)]["test_accuracy"] == 0.75
    assert by_id[made.run_id(1)]["test_accuracy"] is None
    assert by_id[made.run_id(0)]["ended_at"] == made.START
    assert set(pairs(curves).to_pylist()) == set(pairs(runs).to_pylist()) and curves.num_rows == 3


def test_large_tables_are_put_in_order_by_several_threads(made, ledger: Ledger, monkeypatch) -> None:
    for seed in range(5):
        ledger.append([made.row(seed)], [made.curve(seed, step) for step in range(3)], "p")
    runs, curves = ledger.runs(), ledger.curves()
    monkeypatch.setattr(ledger_rows, "MANY_ROWS", 1)
    assert ledger.runs().equals(runs, check_metadata=True) and ledger.curves().equals(curves, check_metadata=True)
    assert runs["run_id"].to_pylist() == sorted(made.run_id(seed) for seed in range(5))


def test_pandas_reads_the_folder_directly(made, ledger: Ledger) -> None:
    ledger.append([made.row(0, test_accuracy=0.5)], [made.curve(0)], "a")
    ledger.append([made.row(1, num_train_examples=7)], [], "b")
    frame = pd.read_parquet(f"{ledger.uri}/runs")
    assert sorted(frame.run_id) == sorted(made.run_id(seed) for seed in (0, 1))
    assert frame.groupby(["task", "init", "train_set"]).test_accuracy.mean().item() == 0.5


def test_first_of_two_executions_wins_with_its_curves(made, ledger: Ledger) -> None:
    ledger.append([made.row(0, test_accuracy=0.1)], [made.curve(0, loss=0.1)], "pack")
    ledger.append([made.row(0, test_accuracy=0.2)], [made.curve(0, loss=0.2)], "pack")
    assert ledger.runs()["test_accuracy"].to_pylist() == [0.1]
    assert ledger.curves()["loss"].to_pylist() == [0.1]
    assert len(parts(ledger)) == len(parts(ledger, "curves")) == 1


def test_many_simultaneous_writers_leave_one_whole_result(made, ledger: Ledger) -> None:
    def write(writer: int) -> None:
        Ledger(ledger.uri).append(
            [made.row(0, test_accuracy=float(writer))], [made.curve(0, loss=float(writer))], "pack"
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(16)))
    (accuracy,), (loss,) = ledger.runs()["test_accuracy"].to_pylist(), ledger.curves()["loss"].to_pylist()
    assert accuracy == loss and len(parts(ledger)) == 1
    assert not list(Path(ledger.uri).rglob(".tmp-*"))


def test_a_failure_is_superseded_by_a_result_and_never_the_other_way(made, ledger: Ledger) -> None:
    run_id = made.run_id(0)
    ledger.append([made.row(0, "failed", minute=1, error="no data")], [], "pack")
    ledger.append([made.row(0, "failed", minute=2, error="no memory")], [], "pack")
    assert ledger.finished() == {run_id: "failed"} and ledger.runs()["error"].to_pylist() == ["no memory"]
    ledger.append([made.row(0, "done", minute=3)], [made.curve(0)], "pack")
    ledger.append([made.row(0, "failed", minute=4, error="late")], [], "pack")
    for _ in range(2):
        assert ledger.finished() == {run_id: "done"} and ledger.curves().num_rows == 1
        ledger.compact()
    assert len(parts(ledger)) == 1


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(6)))
def test_the_winner_does_not_depend_on_the_order_of_parts(made, order: list[int]) -> None:
    keys = [
        {"run_id": "r", "attempt": f"a{index}", "status": status, "ended_at": made.START + dt.timedelta(minutes=minute)}
        for index, (status, minute) in enumerate(itertools.product(["failed", "done", "diverged"], [1, 2]))
    ]
    schema = RUNS.empty_table().select(KEYS).schema
    shuffled = pa.Table.from_pylist([keys[index] for index in order], schema=schema)
    assert shuffled.take(winners(shuffled)).to_pylist() == [keys[2]]
    failures = shuffled.filter(pc.equal(shuffled["status"], "failed"))
    assert failures.take(winners(failures)).to_pylist() == [keys[1]]


def test_curves_without_a_row_are_ignored(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = ledger.storage.commit

    def crash(path: str, data: bytes) -> bool:
        if path.startswith("runs/"):
            raise OSError("killed between curves and rows")
        return commit(path, data)

    monkeypatch.setattr(ledger.storage, "commit", crash)
    with pytest.raises(OSError):
        ledger.append([made.row(0)], [made.curve(0, loss=9.0)], "pack")
    monkeypatch.undo()
    assert len(parts(ledger, "curves")) == 1 and ledger.curves().num_rows == 0
    ledger.append([made.row(0)], [made.curve(0, loss=1.0)], "pack")
    assert ledger.curves()["loss"].to_pylist() == [1.0]
    ledger.compact()
    assert ledger.curves()["loss"].to_pylist() == [1.0]


def test_an_object_store_holds_the_same_ledger(made) -> None:
    ledger = Ledger("fsspec+memory://bucket/study")
    assert not ledger.exists
    ledger.prepare()
    for seed in range(3):
        ledger.append([made.row(seed)], [made.curve(seed)], f"p{seed}")
    ledger.append([made.row(0, test_accuracy=0.9)], [], "again")
    ledger.storage.commit("runs/foreign.txt", b"hello")
    with pytest.warns(LedgerWarning, match="foreign.txt"):
        runs = ledger.runs()
    curves = ledger.curves()
    with pytest.warns(LedgerWarning, match="foreign.txt set aside"):
        assert runs.num_rows == 3 and len(ledger.compact()) == 1
    assert ledger.storage.names("quarantine/runs") == ["foreign.txt"]
    assert Ledger(ledger.uri).runs().equals(runs) and ledger.curves().equals(curves) and len(parts(ledger)) == 1


def test_opening_writes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "new"))
    assert ledger.finished() == {} and not ledger.exists and not (tmp_path / "new").exists()
    for read in (read_runs, read_curves):
        with pytest.raises(UserError, match="there is no ledger"):
            read(ledger.uri)


def test_foreign_places_are_refused_and_left_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("x")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "ledger.json").write_text('{"ledger": "fpt-study", "schema_version": 999}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ledger.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    for name, words in [
        ("file", "is a file"), ("folder", "thesis.tex"), ("newer", "version"), ("broken", "version"),
    ]:  # fmt: skip
        with pytest.raises(UserError, match=words):
            Ledger(str(tmp_path / name))
    with pytest.raises(UserError, match="cannot open"):
        Ledger("nonsense://place")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unwritable_place_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ledger = Ledger(str(tmp_path / "file" / "out"))
    with pytest.raises(UserError, match="cannot write to") as refusal:
        ledger.prepare()
    assert "\n" not in str(refusal.value)


def test_rows_that_we_built_wrongly_are_caught(made, ledger: Ledger) -> None:
    without_end = {key: value for key, value in made.row(0).items() if key != "ended_at"}
    for rows, curves in [
        ([made.row(0, colour="red")], []), ([without_end], []), ([made.row(0), made.row(0)], []),
        ([made.row(0, "lost")], []), ([made.row(0)], [made.curve(1)]), ([], []),
    ]:  # fmt: skip
        with pytest.raises(AssertionError):
            ledger.append(rows, curves, "p")
    assert parts(ledger) == []


def test_every_field_of_a_run_is_a_column(made) -> None:
    assert [column.name for column in SPEC_COLUMNS] == list(made.spec(0).as_columns())
