"""The ledger under crashes, races and damage: no row is lost, none counts twice, nothing half-written is read."""

import contextlib
import datetime as dt
import itertools
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.errors import LedgerWarning, UserError
from study.ledger import Ledger, read_curves, read_runs
from study.ledger_rows import KEYS, pairs, winners
from study.ledger_schema import CURVES, RUNS, SPEC_COLUMNS
from study.spec import RunSpec

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def spec(seed: int) -> RunSpec:
    return RunSpec(task="bit-xor", size="nano", init="random", num_steps=2, eval_every_steps=1, seed=seed)


def row(seed: int, status: str = "done", minute: int = 0, **columns) -> dict:
    run = spec(seed)
    ended = START + dt.timedelta(minutes=minute)
    return {**run.as_columns(), "run_id": run.run_id, "status": status, "ended_at": ended, **columns}


def curve(seed: int, step: int = 1, loss: float = 0.5) -> dict:
    return {"run_id": spec(seed).run_id, "step": step, "split": "valid", "num_examples": 8, "loss": loss}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(str(tmp_path / "out"))
    made.prepare()
    return made


def parts(ledger: Ledger, folder: str = "runs") -> list[str]:
    return ledger.storage.names(folder)


def test_rows_come_back_as_written(ledger: Ledger) -> None:
    ledger.append([row(0, test_accuracy=0.75), row(1, "diverged")], [curve(0), curve(0, 2), curve(1)], "pack")
    runs, curves = read_runs(ledger.uri), read_curves(ledger.uri)
    assert runs.schema.equals(RUNS, check_metadata=True) and curves.schema.equals(CURVES, check_metadata=True)
    assert ledger.finished() == {spec(0).run_id: "done", spec(1).run_id: "diverged"}
    by_id = {each["run_id"]: each for each in runs.to_pylist()}
    assert by_id[spec(0).run_id]["test_accuracy"] == 0.75
    assert by_id[spec(1).run_id]["test_accuracy"] is None
    assert by_id[spec(0).run_id]["ended_at"] == START
    assert set(pairs(curves).to_pylist()) == set(pairs(runs).to_pylist()) and curves.num_rows == 3


def test_pandas_reads_the_folder_directly(ledger: Ledger) -> None:
    ledger.append([row(0, test_accuracy=0.5)], [curve(0)], "a")
    ledger.append([row(1, num_train_examples=7)], [], "b")
    frame = pd.read_parquet(f"{ledger.uri}/runs")
    assert sorted(frame.run_id) == sorted(spec(seed).run_id for seed in (0, 1))
    assert frame.groupby(["task", "init", "train_set"]).test_accuracy.mean().item() == 0.5


def test_first_of_two_executions_wins_with_its_curves(ledger: Ledger) -> None:
    ledger.append([row(0, test_accuracy=0.1)], [curve(0, loss=0.1)], "pack")
    ledger.append([row(0, test_accuracy=0.2)], [curve(0, loss=0.2)], "pack")
    assert ledger.runs()["test_accuracy"].to_pylist() == [0.1]
    assert ledger.curves()["loss"].to_pylist() == [0.1]
    assert len(parts(ledger)) == len(parts(ledger, "curves")) == 1


def test_many_simultaneous_writers_leave_one_whole_result(ledger: Ledger) -> None:
    def write(writer: int) -> None:
        Ledger(ledger.uri).append([row(0, test_accuracy=float(writer))], [curve(0, loss=float(writer))], "pack")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(16)))
    (accuracy,), (loss,) = ledger.runs()["test_accuracy"].to_pylist(), ledger.curves()["loss"].to_pylist()
    assert accuracy == loss and len(parts(ledger)) == 1
    assert not list(Path(ledger.uri).rglob(".tmp-*"))


def test_a_failure_is_superseded_by_a_result_and_never_the_other_way(ledger: Ledger) -> None:
    run_id = spec(0).run_id
    ledger.append([row(0, "failed", minute=1, error="no data")], [], "pack")
    ledger.append([row(0, "failed", minute=2, error="no memory")], [], "pack")
    assert ledger.finished() == {run_id: "failed"} and ledger.runs()["error"].to_pylist() == ["no memory"]
    ledger.append([row(0, "done", minute=3)], [curve(0)], "pack")
    ledger.append([row(0, "failed", minute=4, error="late")], [], "pack")
    for _ in range(2):
        assert ledger.finished() == {run_id: "done"} and ledger.curves().num_rows == 1
        ledger.compact()
    assert len(parts(ledger)) == 1


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(6)))
def test_the_winner_does_not_depend_on_the_order_of_parts(order: list[int]) -> None:
    keys = [
        {"run_id": "r", "attempt": f"a{index}", "status": status, "ended_at": START + dt.timedelta(minutes=minute)}
        for index, (status, minute) in enumerate(itertools.product(["failed", "done", "diverged"], [1, 2]))
    ]
    schema = RUNS.empty_table().select(KEYS).schema
    shuffled = pa.Table.from_pylist([keys[index] for index in order], schema=schema)
    assert shuffled.take(winners(shuffled)).to_pylist() == [keys[2]]
    failures = shuffled.filter(pc.equal(shuffled["status"], "failed"))
    assert failures.take(winners(failures)).to_pylist() == [keys[1]]


def test_curves_without_a_row_are_ignored(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = ledger.storage.commit

    def crash(path: str, data: bytes) -> bool:
        if path.startswith("runs/"):
            raise OSError("killed between curves and rows")
        return commit(path, data)

    monkeypatch.setattr(ledger.storage, "commit", crash)
    with pytest.raises(OSError):
        ledger.append([row(0)], [curve(0, loss=9.0)], "pack")
    monkeypatch.undo()
    assert len(parts(ledger, "curves")) == 1 and ledger.curves().num_rows == 0
    ledger.append([row(0)], [curve(0, loss=1.0)], "pack")
    assert ledger.curves()["loss"].to_pylist() == [1.0]
    ledger.compact()
    assert ledger.curves()["loss"].to_pylist() == [1.0]


def test_compaction_leaves_one_part_and_the_same_tables(ledger: Ledger) -> None:
    for seed in range(5):
        ledger.append([row(seed), row(seed + 10, "failed", error="x")], [curve(seed), curve(seed, 2)], f"p{seed}")
    runs, curves = ledger.runs(), ledger.curves()
    assert ledger.compact() == []
    assert len(parts(ledger)) == len(parts(ledger, "curves")) == 1
    assert ledger.runs().equals(runs) and ledger.curves().equals(curves)
    before = parts(ledger)
    ledger.compact()
    assert parts(ledger) == before
    assert Ledger(ledger.uri).finished() == ledger.finished()


@pytest.mark.parametrize("survived", range(12))
def test_a_compaction_killed_anywhere_loses_and_repeats_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    for seed in range(3):
        ledger.append([row(seed)], [curve(seed)], f"p{seed}")
    ledger.append([row(0, "failed", error="x"), row(2), row(7)], [curve(2, loss=0.1), curve(7)], "overlapping")
    runs, curves = ledger.runs(), ledger.curves()
    calls = itertools.count()

    def mortal(action):
        def act(*args):
            if next(calls) >= survived:
                raise KeyboardInterrupt
            return action(*args)

        return act

    for name in ("commit", "remove"):
        monkeypatch.setattr(ledger.storage, name, mortal(getattr(ledger.storage, name)))
    with contextlib.suppress(KeyboardInterrupt):
        ledger.compact()
    monkeypatch.undo()
    reopened = Ledger(ledger.uri)
    assert reopened.runs().equals(runs) and reopened.curves().equals(curves)
    reopened.compact()
    assert reopened.runs().equals(runs) and reopened.curves().equals(curves)
    assert len(parts(reopened)) == 1


def test_a_part_that_arrives_during_compaction_stays(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        ledger.append([row(seed)], [], f"p{seed}")
    commit = ledger.storage.commit

    def late(path: str, data: bytes) -> bool:
        monkeypatch.undo()
        Ledger(ledger.uri).append([row(5)], [curve(5)], "late")
        return commit(path, data)

    monkeypatch.setattr(ledger.storage, "commit", late)
    ledger.compact()
    assert set(ledger.finished()) == {spec(seed).run_id for seed in (0, 1, 5)} and ledger.curves().num_rows == 1


def test_curves_whose_row_comes_after_a_compaction_stay(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append([row(1)], [curve(1)], "other")
    commit = ledger.storage.commit

    def compacted_between(path: str, data: bytes) -> bool:
        if path.startswith("runs/"):
            Ledger(ledger.uri).compact()
        return commit(path, data)

    monkeypatch.setattr(ledger.storage, "commit", compacted_between)
    ledger.append([row(0)], [curve(0)], "pack")
    assert ledger.curves().num_rows == 2


def test_a_part_merged_away_while_it_is_read_is_not_missed(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        ledger.append([row(seed)], [], f"p{seed}")
    read = ledger.storage.read

    def merged_away(path: str) -> bytes:
        data = read(path)
        monkeypatch.undo()
        Ledger(ledger.uri).compact()
        return data

    monkeypatch.setattr(ledger.storage, "read", merged_away)
    assert len(ledger.finished()) == 3


def damage(ledger: Ledger) -> dict[str, bytes]:
    """One torn part, one that is no Parquet, one with other columns, one folder."""
    runs = Path(ledger.uri) / "runs"
    whole = next(runs.glob("*.parquet")).read_bytes()
    pq.write_table(pa.table({"a": [1]}), runs / "other.parquet")
    files = {"torn.parquet": whole[: len(whole) // 2], "notes.txt": b"hello", "empty.parquet": b""}
    for name, data in files.items():
        (runs / name).write_bytes(data)
    (runs / "folder").mkdir()
    (runs / "folder" / "keep").write_bytes(b"kept")
    return {**files, "other.parquet": (runs / "other.parquet").read_bytes()}


def test_damaged_files_are_reported_then_set_aside_and_kept(ledger: Ledger) -> None:
    ledger.append([row(0)], [], "p")
    files = damage(ledger)
    with pytest.warns(LedgerWarning) as caught:
        assert read_runs(ledger.uri).num_rows == 1
    assert len(caught) == 5 and all("\n" not in str(each.message) for each in caught)
    with pytest.warns(LedgerWarning, match="left out"):
        assert len(ledger.finished()) == 1
    assert {each.path for each in ledger.damaged()} == {f"runs/{name}" for name in [*files, "folder"]}
    with pytest.warns(LedgerWarning, match="set aside in quarantine/"):
        assert len(ledger.compact()) == 5
    assert ledger.damaged() == []
    for name, data in files.items():
        assert (Path(ledger.uri) / "quarantine" / "runs" / name).read_bytes() == data
    assert (Path(ledger.uri) / "quarantine" / "runs" / "folder" / "keep").exists()
    assert len(pd.read_parquet(f"{ledger.uri}/runs")) == 1


def test_quarantine_never_overwrites(ledger: Ledger) -> None:
    for text in (b"one", b"two"):
        (Path(ledger.uri) / "runs").mkdir(exist_ok=True)
        (Path(ledger.uri) / "runs" / "x.parquet").write_bytes(text)
        with pytest.warns(LedgerWarning, match="x.parquet set aside"):
            ledger.compact()
    kept = {path.read_bytes() for path in (Path(ledger.uri) / "quarantine" / "runs").iterdir()}
    assert kept == {b"one", b"two"}


def test_a_torn_part_does_not_block_the_result_of_its_runs(ledger: Ledger) -> None:
    ledger.append([row(0)], [], "p")
    path = Path(ledger.uri) / "runs" / parts(ledger)[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(LedgerWarning, match="left out"):
        assert ledger.finished() == {}
    ledger.append([row(0)], [curve(0)], "p")
    assert ledger.finished() == {spec(0).run_id: "done"}


@pytest.mark.parametrize("error", [95, 1])
def test_file_systems_without_hard_links(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse(*args) -> None:
        raise OSError(error, "no hard links")

    monkeypatch.setattr(os, "link", refuse)
    ledger.append([row(0, test_accuracy=0.1)], [], "p")
    ledger.append([row(0, test_accuracy=0.2)], [], "p")
    assert ledger.runs()["test_accuracy"].to_pylist() == [0.1] and len(list(Path(ledger.uri, "runs").iterdir())) == 1


def test_a_full_disk_leaves_nothing_behind(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError):
        ledger.append([row(0)], [], "p")
    assert list(Path(ledger.uri, "runs").iterdir()) == []


def test_temporary_files_are_swept_when_a_day_old(ledger: Ledger) -> None:
    ledger.append([row(0)], [], "p")
    old, new = (Path(ledger.uri) / "runs" / f".tmp-{name}" for name in ("old", "new"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    ledger.compact()
    assert new.exists() and not old.exists()


def test_an_object_store_holds_the_same_ledger() -> None:
    ledger = Ledger("fsspec+memory://bucket/study")
    assert not ledger.exists
    ledger.prepare()
    for seed in range(3):
        ledger.append([row(seed)], [curve(seed)], f"p{seed}")
    ledger.append([row(0, test_accuracy=0.9)], [], "again")
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


def test_rows_that_we_built_wrongly_are_caught(ledger: Ledger) -> None:
    without_end = {key: value for key, value in row(0).items() if key != "ended_at"}
    for rows, curves in [
        ([row(0, colour="red")], []), ([without_end], []), ([row(0), row(0)], []), ([row(0, "lost")], []),
        ([row(0)], [curve(1)]), ([], []),
    ]:  # fmt: skip
        with pytest.raises(AssertionError):
            ledger.append(rows, curves, "p")
    assert parts(ledger) == []


def test_quiet_where_nothing_is_damaged(ledger: Ledger) -> None:
    ledger.append([row(0)], [], "p")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_runs(ledger.uri), read_curves(ledger.uri)


def test_every_field_of_a_run_is_a_column() -> None:
    assert [column.name for column in SPEC_COLUMNS] == list(spec(0).as_columns())
