import dataclasses
from collections.abc import Iterator

import pytest
import torch

from study.bodies import source_of
from study.execution import Execution, Origin
from study.ledger import Ledger
from study.measurements import Evaluated, Finished
from study.packing import Pack
from study.recipes import recipe_for
from study.spec import RunSpec
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
    """Trains nothing; raises `error` for packs that hold a run with one of the bad seeds."""

    def __init__(self, error: Exception | None = None, bad_seeds: tuple[int, ...] = ()) -> None:
        self.error, self.bad_seeds = error, bad_seeds
        self.calls: list[list[int]] = []

    def __call__(self, runs, **_) -> Iterator[Evaluated | Finished]:
        self.calls.append([run.seed for run in runs])
        for run in runs:
            yield Evaluated(run.run_id, 2, "valid", 16, 0.5, 0.9, 1e-3, None, 1.0, 0.1)
        if self.error is not None and any(run.seed in self.bad_seeds for run in runs):
            raise self.error
        for run in runs:
            metrics = [0.9, 0.5] * 3
            yield Finished(run.run_id, "done", 2, 4, *metrics, 0.9, 10, 5, 1.0, 0.1)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    made = Ledger(str(tmp_path / "out"))
    made.prepare()
    return made


def _execute(pack, ledger, train, origin=ORIGIN) -> Execution:
    execution = Execution(pack, ledger=ledger, origin=origin, train=train)
    for _ in execution.steps():
        assert 0 <= execution.tally.fraction <= 1
    return execution


def _rows(ledger) -> dict[int, dict]:
    return {row["seed"]: row for row in ledger.runs().to_pylist()}


def test_the_engine_trains_a_pack_into_rows_and_curves(ledger):
    from study.training import train

    pack = _pack(2)
    tally = _execute(pack, ledger, train).tally
    assert (tally.ended, tally.failed, tally.fraction) == (2, 0, 1.0)
    rows = _rows(ledger)
    assert {row["status"] for row in rows.values()} == {"done"}
    assert rows[0]["pack_id"] == pack.pack_id and rows[0]["pack_size"] == 2
    assert rows[0]["chance_accuracy"] == 0.5 and rows[0]["git_revision"] == "abc"
    assert rows[0]["started_at"] <= rows[0]["ended_at"]
    assert rows[0]["body_key"] is None
    steps = {(curve["run_id"], curve["step"]) for curve in ledger.curves().to_pylist() if curve["split"] == "valid"}
    assert steps == {(run.run_id, step) for run in pack.runs for step in (0, 2, 4)}


def test_a_repeated_execution_trains_nothing_and_keeps_one_row_each(ledger):
    train = StandIn()
    _execute(_pack(), ledger, train)
    tally = _execute(_pack(), ledger, train).tally
    assert train.calls == [[0, 1, 2]]
    assert (tally.ended, tally.fraction) == (3, 1.0)
    assert ledger.runs().num_rows == 3


def test_only_the_missing_runs_of_a_pack_are_trained(ledger):
    train = StandIn()
    _execute(_pack(1), ledger, train)
    _execute(_pack(3), ledger, train)
    assert train.calls == [[0], [1, 2]]


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
    source = source_of(recipe_for("bit-memory", body="gpt2", size="nano"))
    run_id = pack.runs[0].run_id
    origin = dataclasses.replace(ORIGIN, sources={run_id: source}, body_errors={source.key: "the disk is full"})
    train = StandIn()
    _execute(pack, ledger, train, origin)
    row = _rows(ledger)[0]
    assert train.calls == []
    assert row["error"] == "the bit-memory body of gpt2 nano, seed 0 could not be made: the disk is full"
    assert row["body_key"] == source.key


def test_wrong_arguments_are_the_users_words(ledger):
    _execute(_pack(1, num_layers=99), ledger, StandIn())
    assert _rows(ledger)[0]["error"].startswith("num_layers is 99")


def test_an_interrupt_is_no_failure(ledger):
    train = StandIn(KeyboardInterrupt(), bad_seeds=(0,))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        _execute(_pack(1), ledger, train)
    assert ledger.finished() == {}
