"""The engine: a run gives the same result alone and packed, and what it reports is what an independent loop finds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F

from models import BODIES
from models.bodies import Architecture, architecture
from models.initialise import body_state
from study import training as engine_module
from study.assemble import assemble
from study.batches import derive_seed
from study.measurements import Evaluated, Finished
from study.snapshot import from_bytes, to_bytes
from study.spec import RunSpec
from study.training import Training
from tasks.base import Task
from tasks.catalogue import make_task

CPU = torch.device("cpu")
ARGS = {"num_valid_examples": 32, "num_test_examples": 48}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


def xor() -> Task:
    return make_task("bit-xor", protocol="fixed", args=ARGS)


def spec(**changes: object) -> RunSpec:
    fields = {
        "task": "bit-xor",
        "task_args": ARGS,
        "size": "nano",
        "num_layers": 1,
        "init": "random",
        "batch_size": 4,
        "num_steps": 50,
        "eval_every_steps": 25,
    }
    return RunSpec(**(fields | changes))


def arch_of(run: RunSpec) -> Architecture:
    return architecture(run.body, size=run.size, num_layers=run.num_layers)


def bodies_of(runs: Sequence[RunSpec]) -> list[Mapping[str, torch.Tensor]]:
    made = {run.body_seed: body_state(arch_of(run), run.init, seed=run.body_seed) for run in runs}
    return [made[run.body_seed] for run in runs]


def training(runs: Sequence[RunSpec], *, dtype: torch.dtype = torch.float32) -> Training:
    return Training(
        runs,
        task=xor(),
        architecture=arch_of(runs[0]),
        bodies=bodies_of(runs),
        device=CPU,
        master_dtype=dtype,
    )


def final_parameters(runs: Sequence[RunSpec], *, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Trained tensors of every run at its last evaluation."""
    engine = training(runs, dtype=dtype)
    found = {}
    for measurements in engine.rounds():
        for told in measurements:
            if isinstance(told, Evaluated) and told.split == "valid":
                row = [standing.spec.run_id for standing in engine.runs].index(told.run_id)
                found[told.run_id] = engine.model.matrix.detach()[row].clone()
    return found


def assert_packed_equals_alone(runs: Sequence[RunSpec], dtype: torch.dtype, *, every: int = 1) -> None:
    packed = final_parameters(runs, dtype=dtype)
    for run in runs[::every]:
        alone = final_parameters([run], dtype=dtype)[run.run_id]
        difference = (packed[run.run_id] - alone).norm() / alone.norm()
        assert difference.item() <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("body", BODIES)
def test_packed_equals_alone(body: str, dtype: torch.dtype) -> None:
    """K = 8, seeds, learning rates and last steps differ; two runs have random bodies of their own."""
    runs = [
        spec(body=body, seed=k, lr=1e-3 * (k + 1), body_seed=k // 6, num_steps=50 - 13 * (k % 2), weight_decay=0.1 * k)
        for k in range(8)
    ]
    assert_packed_equals_alone(runs, dtype, every=1 if body == "gpt2" else 3)


def test_packed_equals_alone_where_the_body_draws_random_states() -> None:
    """The released LSTM draws its states in training and in evaluation."""
    runs = [spec(body="lstm", seed=k, protocol="paper", num_steps=30, eval_every_steps=10) for k in range(3)]
    arch = architecture("lstm", size="nano", num_layers=1, protocol="paper")
    bodies = [body_state(arch, "random", seed=0)] * 3

    def losses(chosen: list[int]) -> list[float]:
        engine = Training(
            [runs[k] for k in chosen], task=xor(), architecture=arch, bodies=[bodies[k] for k in chosen], device=CPU
        )
        told = [x for measurements in engine.rounds() for x in measurements]
        return [x.loss for x in told if isinstance(x, Evaluated) and x.run_id == runs[1].run_id]

    assert losses([0, 1, 2]) == pytest.approx(losses([1]), rel=1e-4)


@pytest.mark.parametrize(
    ("body", "train_set"),
    [
        ("gpt2", "full"),
        ("gpt2", "output-only"),
        ("gpt2", "input+attention"),
        ("gpt2", "output+attention-last"),
        ("t5", "full"),
    ],
)
def test_packed_equals_alone_for_other_train_sets(body: str, train_set: str) -> None:
    layers = 2 if "last" in train_set else 1
    runs = [spec(body=body, seed=k, lr=1e-3 * (k + 1), train_set=train_set, num_layers=layers) for k in range(3)]
    assert_packed_equals_alone(runs, torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_run_that_diverges_leaves_the_pack_and_its_neighbours_do_not_notice(dtype: torch.dtype) -> None:
    overflow = 1e30 if dtype == torch.float32 else 1e300
    runs = [spec(seed=0), spec(seed=1, lr=overflow, clip_norm=None), spec(seed=2)]
    engine = training(runs, dtype=dtype)
    told = [x for measurements in engine.rounds() for x in measurements]
    ended = {x.run_id: x for x in told if isinstance(x, Finished)}
    assert [ended[run.run_id].status for run in runs] == ["done", "diverged", "done"]
    bad = ended[runs[1].run_id]
    assert bad.num_steps_done < 25
    assert bad.selected_step == 0
    assert bad.test_accuracy is not None
    for run in (runs[0], runs[2]):
        packed = final_parameters(runs, dtype=dtype)[run.run_id]
        alone = final_parameters([run], dtype=dtype)[run.run_id]
        assert ((packed - alone).norm() / alone.norm()).item() <= TOLERANCE[dtype]


def test_a_run_is_not_evaluated_because_its_neighbour_ends() -> None:
    runs = [spec(seed=0, num_steps=40, eval_every_steps=30), spec(seed=1, num_steps=60, eval_every_steps=30)]
    steps: dict[str, list[int]] = {run.run_id: [] for run in runs}
    for told in (x for measurements in training(runs).rounds() for x in measurements):
        if isinstance(told, Evaluated) and told.split == "valid":
            steps[told.run_id].append(told.step)
    assert list(steps.values()) == [[0, 30, 40], [0, 30, 60]]


def test_frozen_tensors_are_bit_identical_and_trained_ones_are_not() -> None:
    runs = [spec(num_steps=5, eval_every_steps=5)]
    engine = training(runs)
    frozen = {name: p.detach().clone() for name, p in engine.model.core.named_parameters()}
    before = engine.model.matrix.detach().clone()
    engine.advance(5)
    assert {"h.0.attn.c_attn.weight", "h.0.mlp.c_fc.weight"} <= frozen.keys()
    for name, parameter in engine.model.core.named_parameters():
        assert torch.equal(parameter, frozen[name]), name
    assert not torch.equal(engine.model.matrix.detach(), before)


def test_full_trains_every_parameter_of_the_body() -> None:
    engine = training([spec(size="mini", num_layers=None, train_set="full")])
    assert not list(engine.model.core.parameters())
    before = engine.model.matrix.detach().clone()
    engine.advance(2)
    changed = engine.model.matrix.detach() != before
    # Adam moves every parameter that ever had a gradient; keys' biases have none, as softmax ignores them.
    assert changed.double().mean().item() > 0.99


def test_the_last_attention_alone_is_that_of_the_last_layer_and_nothing_else() -> None:
    train_set = "input+output+positions+layernorm+attention-last"
    engine = training([spec(size="nano", num_layers=3, train_set=train_set)])
    last = {f"body.h.2.attn.{part}" for part in ("c_attn.weight", "c_attn.bias", "c_proj.weight", "c_proj.bias")}
    fpt = training([spec(size="nano", num_layers=3)])
    assert set(engine.model.trained) == {*fpt.model.trained, *last}
    frozen = {name: p.detach().clone() for name, p in engine.model.core.named_parameters()}
    rows = {name: view.detach().clone() for name, view in engine.model._views(engine.model.matrix).items()}
    engine.advance(2)
    assert {"h.1.attn.c_attn.weight", "h.2.mlp.c_fc.weight"} <= frozen.keys() and not last & {
        f"body.{n}" for n in frozen
    }
    assert all(torch.equal(p, frozen[name]) for name, p in engine.model.core.named_parameters())
    now = engine.model._views(engine.model.matrix)
    assert all(not torch.equal(now[name], rows[name]) for name in last)


def test_one_update_is_that_of_torch_adam_on_the_same_loss() -> None:
    """Against an independent loop: the core of transformers, torch.optim.Adam, torch's clipping; no dropout."""
    run = spec(dropout=0.0, lr=3e-3, num_steps=12, eval_every_steps=12)
    task, arch = xor(), arch_of(run)
    ours = final_parameters([run], dtype=torch.float64)[run.run_id]

    names = assemble([run], layout=task.layout, architecture=arch, bodies=bodies_of([run]), device=CPU).trained
    start = training([run], dtype=torch.float64).model
    views = start._views(start.matrix.detach().clone())
    values = {name: views[name][0].clone().requires_grad_() for name in names}
    core = arch.build(attention="eager", dropout=0.0).double()
    core.load_state_dict({n: t.double() for n, t in bodies_of([run])[0].items() if n in arch.core_shapes})
    optimiser = torch.optim.Adam(values.values(), lr=run.lr)
    stream = task.stream(derive_seed("data", run.seed), CPU)
    for _ in range(run.num_steps):
        batch = stream.draw(run.batch_size)
        hidden = F.linear(batch.inputs.double(), values["input.weight"], values["input.bias"]) + values["positions"]
        body = {name.removeprefix("body."): value for name, value in values.items() if name.startswith("body.")}
        out = torch.func.functional_call(core, body, (hidden,))[:, -5:]
        logits = F.linear(out, values["output.weight"], values["output.bias"])
        loss = F.cross_entropy(logits.reshape(-1, 2), batch.targets.reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(values.values()), 1.0)
        optimiser.step()
    theirs = torch.cat([values[name].detach().flatten() for name in names])
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("stop", "more"), [(7, 0), (20, 0), (25, 0), (25, 1), (26, 0)])
def test_a_restored_pack_continues_bit_identically(stop: int, more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two evaluations, at one, before and after a run has left the pack; another one diverges on the way."""
    runs = [
        spec(seed=0, num_steps=25, eval_every_steps=10),
        spec(seed=1, num_steps=50, eval_every_steps=10),
        spec(seed=2, num_steps=50, eval_every_steps=10, lr=1e30, clip_norm=None),
    ]
    whole = [x for measurements in training(runs).rounds() for x in measurements]

    monkeypatch.setattr(engine_module, "_PAUSE_SECONDS", 0.0)
    first = training(runs)
    told = []
    rounds = first.rounds()
    while first.step < stop:
        told += next(rounds)
    for _ in range(more):
        told += next(rounds)
    saved = to_bytes(first.state_dict(), {})
    second = training(runs)
    second.load_state_dict(from_bytes(saved, {}))
    told += [x for measurements in second.rounds() for x in measurements]
    assert [repr(timeless(x)) for x in told] == [repr(timeless(x)) for x in whole]  # a NaN equals no other


def timeless(told: Evaluated | Finished) -> dict[str, object]:
    values = dataclasses.asdict(told)
    return {name: value for name, value in values.items() if name not in ("wall_seconds", "examples_per_second")}


def test_metrics_are_those_of_the_selected_step_over_whole_splits() -> None:
    run = spec(num_steps=60, eval_every_steps=20, lr=1e-2)
    engine = training([run], dtype=torch.float64)
    snapshots, valid = {}, {}
    end = None
    for measurements in engine.rounds():
        for told in measurements:
            if isinstance(told, Finished):
                end = told
            elif isinstance(told, Evaluated) and told.split == "valid":
                snapshots[told.step] = engine.model.matrix.detach().clone()
                valid[told.step] = (told.accuracy, -told.loss)
    assert end is not None
    best = max(valid, key=lambda step: valid[step])
    assert end.selected_step == best
    assert (end.valid_accuracy, -end.valid_loss) == valid[best]
    fresh = training([run], dtype=torch.float64)
    batch = xor().split("test", CPU)
    with fresh.model.evaluating(snapshots[best], [0]):
        logits = fresh.model(batch.inputs[None].double())[0]
    assert len(batch.targets) == 48
    assert end.test_accuracy == pytest.approx((logits.argmax(-1) == batch.targets).double().mean().item())
    assert end.test_loss == pytest.approx(F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()).item())


def test_training_rows_are_means_over_the_batches_since_the_last_evaluation() -> None:
    run = spec(num_steps=6, eval_every_steps=3, dropout=0.0)
    told = [x for m in training([run], dtype=torch.float64).rounds() for x in m if isinstance(x, Evaluated)]
    rows = [x for x in told if x.split == "train"]
    assert [(x.step, x.num_examples) for x in rows] == [(3, 12), (6, 12)]
    each = training([dataclasses.replace(run, eval_every_steps=1)], dtype=torch.float64)
    single = [x.loss for m in each.rounds() for x in m if isinstance(x, Evaluated) and x.split == "train"]
    assert [x.loss for x in rows] == pytest.approx([math.fsum(single[:3]) / 3, math.fsum(single[3:]) / 3])
    assert all(x.examples_per_second and x.examples_per_second > 0 for x in rows)


def test_a_small_training_set_is_each_runs_own_and_its_whole_is_measured() -> None:
    runs = [spec(seed=k, num_train_examples=8, num_steps=10, eval_every_steps=10) for k in range(2)]
    ended = [x for m in training(runs, dtype=torch.float64).rounds() for x in m if isinstance(x, Finished)]
    alone = [x for m in training(runs[1:], dtype=torch.float64).rounds() for x in m if isinstance(x, Finished)]
    assert ended[1].train_accuracy == alone[0].train_accuracy
    assert ended[1].train_accuracy * 8 * 5 == pytest.approx(round(ended[1].train_accuracy * 8 * 5))


def test_cached_features_give_the_online_run_without_dropout() -> None:
    """On a finite set the body may run once: same data order, same updates."""
    online = spec(train_set="output-only", num_train_examples=16, dropout=0.0)
    cached = dataclasses.replace(online, features="cached", dropout=0.1)
    packs = [[online, dataclasses.replace(online, seed=1)], [cached, dataclasses.replace(cached, seed=1)]]
    ends = [
        [x for m in training(pack, dtype=torch.float64).rounds() for x in m if isinstance(x, Finished)]
        for pack in packs
    ]
    for a, b in zip(*ends, strict=True):
        assert a.test_loss == pytest.approx(b.test_loss, rel=1e-9)
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-9)


def test_bf16_stays_near_fp32() -> None:
    run = spec(num_steps=20, eval_every_steps=20, dropout=0.0)
    wide = final_parameters([run], dtype=torch.float32)[run.run_id]
    narrow_run = dataclasses.replace(run, precision="bf16")
    engine = training([narrow_run])
    assert engine.model.matrix.dtype == torch.float32
    narrow = final_parameters([narrow_run], dtype=torch.float32)[narrow_run.run_id]
    assert ((wide - narrow).norm() / wide.norm()).item() < 0.05


def test_padded_examples_reach_the_model_with_their_lengths() -> None:
    task = make_task(
        "listops",
        protocol="fixed",
        args={
            "min_length": 5,
            "max_length": 12,
            "num_train_examples": 32,
            "num_valid_examples": 8,
            "num_test_examples": 8,
        },
    )
    run = RunSpec(
        task="listops",
        size="nano",
        num_layers=1,
        init="random",
        num_steps=4,
        eval_every_steps=2,
        body="bert",
    )
    ends = [
        x
        for m in Training([run], task=task, architecture=arch_of(run), bodies=bodies_of([run]), device=CPU).rounds()
        for x in m
        if isinstance(x, Finished)
    ]
    assert ends[0].status == "done"
    lengths = task.split("valid", CPU).lengths
    assert lengths is not None
    assert len(lengths.unique()) > 1
