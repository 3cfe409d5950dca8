"""Compaction beside writers, readers and other compactions, and killed anywhere: no row is lost, none counts twice."""

import itertools
import random
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from study import ledger_compaction
from study.ledger import Ledger
from study.ledger_rows import KEYS
from study.ledger_schema import TABLES
from study.storage import Storage

ENOUGH = 100
"""More operations than any compaction here makes."""


class Killed(BaseException):
    """Not an error that anybody handles."""


class Watched:
    """A storage that does something before each operation."""

    def __init__(self, storage: Storage, before: Callable[[], None]) -> None:
        self.storage, self.before = storage, before

    def __getattr__(self, name: str):
        attribute = getattr(self.storage, name)
        if not callable(attribute):
            return attribute

        def operation(*args):
            self.before()
            return attribute(*args)

        return operation


class Nth:
    """Does something once, before operation number n; counts the operations."""

    def __init__(self, n: int, action: Callable[[], object], again: bool = False) -> None:
        self.n, self.action, self.again = n, action, again
        self.count, self.lock = 0, threading.Lock()

    def __call__(self) -> None:
        with self.lock:
            self.count += 1
            is_time = self.count > self.n if self.again else self.count == self.n + 1
        if is_time:
            self.action()


def watched(uri: str, before: Callable[[], None]) -> Ledger:
    ledger = Ledger(uri)
    ledger.storage = Watched(ledger.storage, before)
    return ledger


def parts(ledger: Ledger, folder: str = "runs") -> list[str]:
    return ledger.storage.names(folder)


@pytest.fixture(scope="module")
def overlapping(made, tmp_path_factory) -> Path:
    """Results and failures of runs that several executions share, one of them with curves only."""
    folder = tmp_path_factory.mktemp("overlapping") / "out"
    ledger = Ledger(str(folder))
    ledger.prepare()
    for seed in range(3):
        attention = [made.attention(seed), made.attention(seed, state="untrained")]
        ledger.append([made.row(seed)], [made.curve(seed), made.curve(seed, 2)], f"p{seed}", attention)
    failed = [made.row(0, "failed", error="x"), made.row(9, "failed", error="x")]
    rows, curves = [*failed, made.row(2, minute=-1), made.row(7)], [made.curve(2, loss=0.1), made.curve(7)]
    ledger.append(rows, curves, "again", [made.attention(2, weight=0.5), made.attention(7)])
    return folder


def fresh(overlapping: Path, to: Path) -> Ledger:
    shutil.copytree(overlapping, to)
    return Ledger(str(to))


def test_it_leaves_one_part_and_the_same_tables(made, overlapping: Path, tmp_path: Path) -> None:
    ledger = fresh(overlapping, tmp_path / "out")
    runs, curves, attention = ledger.runs(), ledger.curves(), ledger.attention()
    assert ledger.compact() == []
    assert [len(parts(ledger, table)) for table in TABLES] == [1, 1, 1]
    assert ledger.runs().equals(runs) and ledger.curves().equals(curves) and ledger.attention().equals(attention)
    assert [each["weights"][0] for each in attention.to_pylist() if each["run_id"] == made.run_id(2)] == [0.5]
    assert ledger.runs(["status", "seed"]).equals(runs.select(["status", "seed"]))
    before = parts(ledger)
    ledger.compact()
    assert parts(ledger) == before
    assert Ledger(ledger.uri).finished() == ledger.finished()


def test_killed_before_any_operation_it_loses_and_repeats_nothing(overlapping: Path, tmp_path: Path) -> None:
    def die() -> None:
        raise Killed

    reference = Ledger(str(overlapping))
    runs, curves, attention = reference.runs(), reference.curves(), reference.attention()
    for survived in range(ENOUGH):
        ledger = fresh(overlapping, tmp_path / str(survived))
        try:
            watched(ledger.uri, Nth(survived, die, again=True)).compact()
        except Killed:
            assert ledger.runs().equals(runs) and ledger.curves().equals(curves)
            ledger.compact()
            assert ledger.runs().equals(runs) and ledger.curves().equals(curves)
            assert ledger.attention().equals(attention)
            assert [len(parts(ledger, table)) for table in TABLES] == [1, 1, 1]
        else:
            break
    assert 10 < survived < ENOUGH


@pytest.mark.parametrize("large", [2, 1000])
def test_before_any_operation_others_may_append_and_compact(
    made, overlapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(ledger_compaction, "LARGE_ROWS", {"runs": large, "curves": large, "attention": large})
    reference = fresh(overlapping, tmp_path / "reference")
    reference.append([made.row(20)], [made.curve(20)], "late")
    runs, curves = reference.runs(["run_id", "status", "ended_at"]), reference.curves().drop_columns("attempt")
    for moment in range(ENOUGH):
        ledger = fresh(overlapping, tmp_path / str(moment))

        def others(uri: str = ledger.uri) -> None:
            Ledger(uri).append([made.row(20)], [made.curve(20)], "late")
            Ledger(uri).compact()

        nth = Nth(moment, others)
        watched(ledger.uri, nth).compact()
        if nth.count <= moment:
            break
        assert ledger.runs(runs.column_names).equals(runs)
        assert ledger.curves().drop_columns("attempt").equals(curves)
    assert 10 < moment < ENOUGH


@pytest.mark.parametrize("large", [2, 1000])
def test_reading_beside_a_compaction_misses_nothing(
    overlapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(ledger_compaction, "LARGE_ROWS", {"runs": large, "curves": large, "attention": large})
    reference = Ledger(str(overlapping))
    runs, curves, finished = reference.runs(), reference.curves(), reference.finished()
    for read, expected in (("runs", runs), ("curves", curves), ("finished", finished)):
        for moment in itertools.count():
            ledger = fresh(overlapping, tmp_path / f"{read}{moment}")
            nth = Nth(moment, ledger.compact)
            answer = getattr(watched(ledger.uri, nth), read)()
            assert answer.equals(expected) if isinstance(answer, pa.Table) else answer == expected
            if nth.count <= moment:
                break


def test_a_listing_that_misses_both_the_old_part_and_the_new_one(overlapping: Path, tmp_path: Path) -> None:
    ledger = fresh(overlapping, tmp_path / "out")
    names, listings = ledger.storage.names, itertools.count()

    def torn(folder: str = "") -> list[str]:
        """The first listing, as if a part went and its replacement came behind the reader's back."""
        return names(folder)[1:] if next(listings) == 0 else names(folder)

    ledger.storage.names = torn
    assert len(ledger.finished()) == 5


def test_reading_ends_though_parts_keep_coming(made, overlapping: Path, tmp_path: Path) -> None:
    ledger = fresh(overlapping, tmp_path / "out")
    names, listings = ledger.storage.names, itertools.count()

    def growing(folder: str = "") -> list[str]:
        Ledger(ledger.uri).append([made.row(100 + next(listings))], [], "p")
        return names(folder)

    ledger.storage.names = growing
    assert len(ledger.finished()) == 5 + 2


def test_curves_whose_row_comes_after_a_compaction_stay(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append([made.row(1)], [made.curve(1)], "other")
    commit = ledger.storage.commit

    def compacted_between(path: str, data: bytes) -> bool:
        if path.startswith("runs/"):
            Ledger(ledger.uri).compact()
        return commit(path, data)

    monkeypatch.setattr(ledger.storage, "commit", compacted_between)
    ledger.append([made.row(0)], [made.curve(0)], "pack")
    assert ledger.curves().num_rows == 2


@pytest.mark.parametrize("seed", range(3))
def test_many_compactions_and_writers_at_once(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(ledger_compaction, "LARGE_ROWS", {"runs": 3, "curves": 4, "attention": 4})
    chance = random.Random(seed)

    def act(number: int) -> None:
        own = watched(ledger.uri, lambda: time.sleep(chance.random() / 500))
        for step in range(6):
            if number < 2:
                runs = [step, step + 1, 10 * number + step]
                own.append([made.row(run, minute=number) for run in set(runs)], [made.curve(run) for run in runs], "p")
            else:
                own.compact()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(act, range(5)))
    expected = {made.run_id(run) for run in (*range(7), *range(10, 16))}
    for _ in range(2):
        rows, curves = ledger.runs(list(KEYS)), ledger.curves()
        assert rows["run_id"].to_pylist() == sorted(expected)
        assert set(curves["attempt"].to_pylist()) <= set(rows["attempt"].to_pylist())
        assert curves["run_id"].to_pylist() == sorted(expected)
        ledger.compact()
