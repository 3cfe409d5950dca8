"""Where runs look, as rows: the right means at the right places, also in a pack, and no result changes by it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from models.bodies import architecture
from models.initialise import body_state
from study.attempt import Attempt
from study.checkpoints import Checkpoint
from study.first_attention import Attended
from study.ledger import Ledger
from study.measurements import Evaluated, Finished, Measurement
from study.packing import Pack
from study.spec import RunSpec
from study.training import Training
from tasks.base import Task
from tasks.bits import NUM_PROBES, BitXor
from tasks.catalogue import make_task

CPU = torch.device("cpu")
XOR = {"num_bits": 3, "num_valid_examples": 16, "num_test_examples": 16}
MEMORY = {"num_patterns": 3, "num_bits": 12, "patch_size": 4, "num_valid_examples": 16, "num_test_examples": 16}


def spec(task: str = "bit-xor", **changes: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "task_args": XOR if task == "bit-xor" else MEMORY,
        "size": "nano",
        "num_layers": 1,
        "init": "random",
        "lr": 1e-2,
        "num_steps": 4,
        "eval_every_steps": 2,
    }
    return RunSpec(task=task, **(fields | changes))


def engine_of(runs: Sequence[RunSpec]) -> Training:
    first = runs[0]
    arch = architecture(first.body, size=first.size, num_layers=first.num_layers)
    task = make_task(first.task, protocol=first.protocol, args=first.task_args)
    # Large weights, so that nothing attends evenly.
    bodies = [
        {
            name: 20 * tensor if tensor.ndim > 1 else tensor
            for name, tensor in body_state(arch, "random", seed=s).items()
        }
        for s in sorted({run.body_seed for run in runs})
    ]
    return Training(
        runs, task=task, architecture=arch, bodies=[bodies[run.body_seed] for run in runs], device=CPU,
        master_dtype=torch.float64,
    )  # fmt: skip


def told(engine: Training) -> list[Measurement]:
    return [measurement for measurements in engine.rounds() for measurement in measurements]


def attended(measurements: Sequence[Measurement], run: RunSpec) -> list[Attended]:
    return [each for each in measurements if isinstance(each, Attended) and each.run_id == run.run_id]


@pytest.mark.parametrize("body", ["gpt2", "bert"])
def test_rows_are_means_over_heads_and_examples_at_aligned_places(body: str) -> None:
    run = spec("bit-memory", body=body, num_steps=2)
    engine = engine_of([run])
    task = make_task("bit-memory", protocol="fixed", args=MEMORY)
    probe = task.probe(CPU)
    assert probe is not None
    with engine.model.evaluating(engine.model.matrix, [0]):
        by_token = engine.model.first_attention(probe.inputs.unsqueeze(0))
    assert by_token is not None
    _, _, num_heads, num_read, num_tokens = by_token.shape
    # One example after the other, as the definition says.
    weights, masses = torch.zeros(num_read, num_tokens).double(), torch.zeros(num_read, num_heads).double()
    for example in range(NUM_PROBES):
        aligned = by_token[0, example][:, :, probe.order[example]]
        weights += aligned.mean(0) / NUM_PROBES
        masses += aligned[:, :, :num_read].sum(-1).T / NUM_PROBES
    measured = told(engine)
    rows = attended(measured, run)
    assert [(row.state, row.query) for row in rows] == [(s, q) for s in ("untrained", "selected") for q in (9, 10, 11)]
    for number, row in enumerate(rows[:3]):
        assert row.weights == pytest.approx(weights[number].tolist(), abs=1e-12)
        assert row.head_masses == pytest.approx(masses[number].tolist(), abs=1e-12)
        assert (row.num_examples, row.relevant) == (NUM_PROBES, [0, 1, 2])
        # Three of the tokens up to the query where none behind it is seen, of all twelve otherwise.
        assert row.uniform == pytest.approx(3 / (row.query + 1) if body == "gpt2" else 3 / 12)
        assert sum(row.weights) == pytest.approx(1)
        assert sum(row.weights[:3]) == pytest.approx(sum(row.head_masses) / num_heads)
    (ended,) = (each for each in measured if isinstance(each, Finished))
    assert (rows[0].weights == rows[3].weights) == (ended.selected_step == 0)


def test_every_run_looks_as_it_does_alone_and_diverged_ones_say_nothing() -> None:
    runs = [
        spec(seed=0, num_steps=2),
        spec(seed=1, lr=1e300, clip_norm=None),
        spec(seed=2, num_steps=6),
        spec(seed=3, body_seed=1),
    ]
    packed = told(engine_of(runs))
    assert attended(packed, runs[1]) == []
    for run in (runs[0], runs[2]):
        alone, beside = attended(told(engine_of([run])), run), attended(packed, run)
        assert len(alone) == len(beside) == 6
        for a, b in zip(alone, beside, strict=True):
            assert dataclasses.replace(a, weights=b.weights, head_masses=b.head_masses) == b
            assert a.weights == pytest.approx(b.weights, abs=1e-10)
            assert a.head_masses == pytest.approx(b.head_masses, abs=1e-10)
    # Its body is its own.
    assert attended(packed, runs[3])[0].weights != attended(packed, runs[0])[0].weights


@pytest.mark.parametrize(
    "changes", [{"dropout": 0.5}, {"train_set": "output-only", "features": "cached", "num_train_examples": 8}]
)
def test_results_are_the_same_without_it(changes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [spec(seed=seed, **changes) for seed in range(2)]
    with_it = told(engine_of(runs))
    monkeypatch.setattr(BitXor, "probe", Task.probe)
    without = told(engine_of(runs))
    assert all(attended(with_it, run) for run in runs)
    assert [_result(each) for each in with_it if not isinstance(each, Attended)] == [_result(each) for each in without]


def _result(measurement: Measurement) -> dict:
    """What does not depend on the clock."""
    assert isinstance(measurement, Evaluated | Finished)
    fields = vars(measurement) | {"wall_seconds": 0.0}
    return fields | ({"examples_per_second": 0.0} if isinstance(measurement, Evaluated) else {})


def test_bodies_that_do_not_attend_and_tasks_without_a_probe_have_no_rows() -> None:
    recurrent = spec(body="lstm")
    assert attended(told(engine_of([recurrent])), recurrent) == []
    lists = {"min_length": 4, "max_length": 8, "max_depth": 2, "max_args": 3, "max_tokens": 8}
    sizes = {"num_train_examples": 16, "num_valid_examples": 8, "num_test_examples": 8}
    other = spec("listops", task_args=lists | sizes)
    measured = told(engine_of([other]))
    assert attended(measured, other) == [] and any(isinstance(each, Finished) for each in measured)


def test_rows_survive_a_checkpoint(ledger: Ledger) -> None:
    """Those of a run that ended before it, and what a run that goes on was like before it was trained."""
    runs = [spec(seed=0, num_steps=2), spec(seed=1, num_steps=6)]

    def begun() -> Attempt:
        checkpoint = Checkpoint(Pack(tuple(runs)), storage=ledger.storage, stamp={}, period_seconds=math.inf)
        return Attempt(runs, make=lambda: engine_of(runs), checkpoint=checkpoint)

    whole = begun()
    list(whole.steps())
    first = begun()
    for _ in first.steps():
        first.save()
        if first.rows and first.num_steps_done > 4:
            break
    second = begun()
    assert second.attention == first.attention and len(second.attention) == 6
    list(second.steps())
    assert second.attention == whole.attention and len(whole.attention) == 12


def test_a_run_that_has_learned_the_parity_looks_at_its_bits() -> None:
    """Above what even attention and the untrained body give (paper, attention maps)."""
    args = {"num_bits": 4, "num_valid_examples": 64, "num_test_examples": 64}
    run = spec(
        task_args=args, train_set="full", lr=1e-3, batch_size=16, dropout=0.0, num_steps=160, eval_every_steps=80
    )
    arch = architecture("gpt2", size="nano", num_layers=1)
    task = make_task("bit-xor", protocol="fixed", args=args)
    engine = Training([run], task=task, architecture=arch, bodies=[body_state(arch, "random", seed=0)], device=CPU)
    measured = told(engine)
    (ended,) = (each for each in measured if isinstance(each, Finished))
    assert ended.test_accuracy is not None and ended.test_accuracy > 0.95
    masses = {"untrained": 0.0, "selected": 0.0, "uniform": 0.0}
    for row in attended(measured, run):
        masses[row.state] += sum(row.weights[place] for place in row.relevant) / 4
        masses["uniform"] += row.uniform / 8
    assert masses["uniform"] == pytest.approx(sum(2 / seen for seen in (5, 6, 7, 8)) / 4)
    assert math.isclose(masses["untrained"], masses["uniform"], abs_tol=0.01)
    assert masses["selected"] > masses["uniform"] + 0.1
