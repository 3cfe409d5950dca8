import dataclasses
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from study import execution, origin
from study.bodies import source_of
from study.errors import StorageError, StorageFull
from study.execution import CommitFailed, Execution
from study.ledger import Ledger
from study.measurements import Evaluated, Finished, Measurement
from study.origin import Origin
from study.packing import Pack
from study.recipes import recipe_for
from study.spec import RunSpec
from study.training import Training
from tasks.files import MissingData

ORIGIN = Origin(revision="abc", device=torch.device("cpu"))


def _pack(num_runs: int = 3, **changes) -> Pack:
    values = {
        "task": "bit-xor",
        "task_args": {"num_valid_examples": 16, "num_test_examples": 16},
        "size": "nano",
        "num_layers": 1,
        "init": "random",
        "num_steps": 4,
        "eval_every_steps": 2,
    }
    return Pack(tuple(RunSpec(**{**values, **changes}, seed=seed) for seed in range(num_runs)))


class StandIn:
    """Makes engines that train nothing; those whose pack holds a run with one of the bad seeds raise `error`.

    Args:
        error: what is raised.
        bad_seeds: which runs cannot be trained.
        most: packs of at most so many runs can be trained all the same.
    """

    def __init__(self, error: BaseException | None = None, bad_seeds: tuple[int, ...] = (), most: int = 0) -> None:
        self.error, self.bad_seeds, self.most = error, bad_seeds, most
        self.calls: list[list[int]] = []

    def __call__(self, runs, **_) -> "StandInEngine":
        self.calls.append([run.seed for run in runs])
        is_bad = len(runs) > self.most and any(run.seed in self.bad_seeds for run in runs)
        return StandInEngine(runs, self.error if is_bad else None)


class StandInEngine:
    step = 2

    def __init__(self, runs, error: BaseException | None) -> None:
        self.runs, self.error = runs, error

    def rounds(self) -> Iterator[list[Measurement]]:
        yield [Evaluated(run.run_id, 2, "valid", 16, 0.5, 0.9, 1e-3, None, 1.0, 0.1) for run in self.runs]
        if self.error is not None:
            raise self.error
        metrics = [0.9, 0.5] * 3
        yield [Finished(run.run_id, "done", 2, 4, *metrics, 0.9, 10, 5, 1.0, 0.1) for run in self.runs]

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state) -> None:
        raise AssertionError("no checkpoint is due")


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    made = Ledger(str(tmp_path / "out"))
    made.prepare()
    return made


def _execute(pack, ledger, train, made_by=ORIGIN) -> Execution:
    execution = Execution(pack, ledger=ledger, origin=made_by, make_engine=train)
    for _ in execution.steps():
        assert 0 <= execution.tally.fraction <= 1
    return execution


def _rows(ledger) -> dict[int, dict]:
    return {row["seed"]: row for row in ledger.runs().to_pylist()}


def test_the_engine_trains_a_pack_into_rows_and_curves(ledger):
    pack = _pack(2)
    tally = _execute(pack, ledger, Training).tally
    assert (tally.ended, tally.failed, tally.fraction) == (2, 0, 1.0)
    rows = _rows(ledger)
    assert {row["status"] for row in rows.values()} == {"done"}
    assert rows[0]["pack_id"] == pack.pack_id and rows[0]["pack_size"] == 2
    assert rows[0]["chance_accuracy"] == 0.5 and rows[0]["git_revision"] == "abc"
    assert rows[0]["started_at"] <= rows[0]["ended_at"]
    assert {row["body_key"] for row in rows.values()} == set(ledger.storage.names("bodies"))
    steps = {(curve["run_id"], curve["step"]) for curve in ledger.curves().to_pylist() if curve["split"] == "valid"}
    assert steps == {(run.run_id, step) for run in pack.runs for step in (0, 2, 4)}


def test_a_repeated_execution_trains_nothing_and_keeps_one_row_each(ledger):
    train = StandIn()
    _execute(_pack(), ledger, train)
    tally = _execute(_pack(), ledger, train).tally
    assert train.calls == [[0, 1, 2]]
    assert (tally.ended, tally.fraction) == (3, 1.0)
    assert ledger.runs().num_rows == 3


def test_parts_of_a_pack_that_ended_before_are_not_trained_again(ledger):
    """A worker died while the runs of a pack went on alone."""
    bad = StandIn(RuntimeError("boom"), bad_seeds=(1,), most=1)
    _execute(_pack(1), ledger, bad)
    tally = _execute(_pack(3), ledger, bad).tally
    assert bad.calls == [[0], [0, 1, 2], [1], [2]]
    assert (tally.ended, tally.failed) == (3, 0) and ledger.runs().num_rows == 3


@pytest.mark.parametrize("words", ["device-side assert triggered", "an illegal memory access was encountered"])
def test_a_spoilt_gpu_fails_no_run(ledger, words: str):
    """Whatever this process trained next would fail: another one has to go on."""
    with pytest.raises(torch.AcceleratorError, match=words):
        _execute(_pack(3), ledger, StandIn(torch.AcceleratorError(f"CUDA error: {words}"), bad_seeds=(1,)))
    assert ledger.runs().num_rows == 0
    train = StandIn(torch.AcceleratorError("CUDA error: out of memory"), bad_seeds=(1,), most=1)
    assert _execute(_pack(3), ledger, train).tally.failed == 0 and ledger.runs().num_rows == 3


def test_one_bad_run_does_not_fail_its_neighbours(ledger):
    train = StandIn(RuntimeError("boom\nsecond line"), bad_seeds=(1,))
    tally = _execute(_pack(3), ledger, train).tally
    assert train.calls == [[0, 1, 2], [0], [1], [2]]
    rows = _rows(ledger)
    assert [rows[seed]["status"] for seed in range(3)] == ["done", "failed", "done"]
    assert rows[1]["error"] == "RuntimeError: boom second line"
    assert rows[1]["test_accuracy"] is None and rows[0]["pack_size"] == 1
    assert (tally.ended, tally.failed, tally.error) == (3, 1, rows[1]["error"])
    assert {curve["run_id"] for curve in ledger.curves().to_pylist()} == {rows[0]["run_id"], rows[2]["run_id"]}


def test_what_the_whole_pack_shares_fails_at_once(ledger):
    train = StandIn(MissingData("no file in folder; fetch it"), bad_seeds=(0,))
    _execute(_pack(3), ledger, train)
    assert train.calls == [[0, 1, 2]]
    assert {row["error"] for row in _rows(ledger).values()} == {"no file in folder; fetch it"}


def test_a_failed_run_is_tried_again_and_its_result_counts(ledger):
    _execute(_pack(1), ledger, StandIn(RuntimeError("boom"), bad_seeds=(0,)))
    _execute(_pack(1), ledger, StandIn())
    assert _rows(ledger)[0]["status"] == "done"


def test_a_body_that_could_not_be_made_is_the_reason(ledger):
    pack = _pack(1, init="bit-memory")
    source = source_of("bit-memory", recipe_for("bit-memory", body="gpt2", size="nano"))
    run_id = pack.runs[0].run_id
    made_by = dataclasses.replace(ORIGIN, sources={run_id: source}, body_errors={source.key: "the disk is full"})
    train = StandIn()
    _execute(pack, ledger, train, made_by)
    row = _rows(ledger)[0]
    assert train.calls == []
    assert row["error"] == "the bit-memory body of gpt2 nano, seed 0 could not be made: the disk is full"
    assert row["body_key"] == source.key


def test_wrong_arguments_are_the_users_words(ledger):
    _execute(_pack(1, num_layers=99), ledger, StandIn())
    assert _rows(ledger)[0]["error"].startswith("num_layers is 99")


def test_an_interrupt_is_no_failure(ledger):
    train = StandIn(KeyboardInterrupt(), bad_seeds=(0,))
    with pytest.raises(KeyboardInterrupt):
        _execute(_pack(1), ledger, train)
    assert ledger.finished() == {}


OUT_OF_MEMORY = {
    "host": MemoryError(),
    "allocator": RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to"),
    "old allocator": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "library": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "system": OSError(12, "Cannot allocate memory"),
}


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_without_memory_a_pack_is_halved_until_it_fits(ledger, kind):
    train = StandIn(OUT_OF_MEMORY[kind], bad_seeds=(0, 4), most=2)
    tally = _execute(_pack(5), ledger, train).tally
    assert train.calls == [[0, 1, 2, 3, 4], [0, 1, 2], [0, 1], [2], [3, 4]]
    assert (tally.ended, tally.failed, tally.fraction) == (5, 0, 1.0)
    assert {seed: row["pack_size"] for seed, row in _rows(ledger).items()} == {0: 2, 1: 2, 2: 1, 3: 2, 4: 2}


def test_a_run_that_does_not_fit_alone_fails_with_the_reason(ledger):
    train = StandIn(OUT_OF_MEMORY["gpu"], bad_seeds=(3,))
    tally = _execute(_pack(4), ledger, train).tally
    assert train.calls == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    assert tally.failed == 1
    assert _rows(ledger)[3]["error"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"


def test_the_engine_is_gone_before_a_smaller_one_is_made(ledger):
    """Otherwise its memory would be missing again."""
    alive: list[weakref.ref] = []

    class Engine(StandInEngine):
        def __init__(self, runs, error) -> None:
            assert not any(engine() for engine in alive)
            super().__init__(runs, error)
            alive.append(weakref.ref(self))

    def make(runs, **_):
        return Engine(runs, MemoryError() if len(runs) > 1 else None)

    tally = _execute(_pack(4), ledger, make).tally
    assert len(alive) == 7 and tally.failed == 0


_LIMITED = """
import resource, sys, torch
from study.exhaustion import is_out_of_memory
torch.zeros(1)
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    torch.zeros(1 << 28)
except Exception as error:
    sys.exit(0 if is_out_of_memory(error) else f"{type(error)}: {error}")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set by what Linux says is in use")
def test_the_allocators_own_error_is_known():
    done = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def _fill_disk(ledger, monkeypatch, times: int) -> None:
    """The next so many commits of rows find no room."""
    commit, left = ledger.storage.commit, [times]

    def failing(path: str, data: bytes) -> bool:
        if path.startswith("runs/") and left[0]:
            left[0] -= 1
            raise StorageFull(f"no room to write '{path}'")
        return commit(path, data)

    monkeypatch.setattr(ledger.storage, "commit", failing)
    monkeypatch.setattr(execution, "_COMMIT_PAUSES_SECONDS", (0.0, 0.0))


def test_a_commit_is_tried_again(ledger, monkeypatch):
    _fill_disk(ledger, monkeypatch, 2)
    train = StandIn()
    assert _execute(_pack(2), ledger, train).tally.failed == 0
    assert train.calls == [[0, 1]] and ledger.runs().num_rows == 2


def test_results_that_cannot_be_committed_do_not_vanish_silently(ledger, monkeypatch):
    _fill_disk(ledger, monkeypatch, 3)
    with pytest.raises(CommitFailed, match="no room to write 'runs/"):
        _execute(_pack(2), ledger, StandIn())
    assert ledger.finished() == {}
    _execute(_pack(2), ledger, StandIn())
    assert ledger.runs().num_rows == 2


def test_a_place_that_cannot_be_read_is_no_fault_of_the_runs(ledger, monkeypatch):
    def failing(path: str) -> bytes:
        raise StorageError(f"cannot read '{path}'")

    monkeypatch.setattr(ledger.storage, "read", failing)
    with pytest.raises(StorageError):
        _execute(_pack(2), ledger, StandIn())


def test_each_different_body_of_a_pack_is_loaded_once(ledger, monkeypatch):
    loaded = []
    load_body = origin.load_body

    def counted(run, storage, source):
        loaded.append(run.body_seed)
        return load_body(run, storage, source)

    monkeypatch.setattr(origin, "load_body", counted)
    runs = _pack(4).runs
    pack = Pack(tuple(dataclasses.replace(run, body_seed=run.seed // 2) for run in runs))
    _execute(pack, ledger, StandIn())
    assert sorted(loaded) == [0, 1]
