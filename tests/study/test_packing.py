"""Packs: every run once, together only what may be, the same packs on every machine."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.packing import MAX_SIZE, VARYING, Footprint, Pack, gpu_share, make_packs, pack_bytes
from study.spec import RunSpec

BASE = RunSpec(task="bit-xor", size="nano", init="random", num_steps=100, eval_every_steps=10)
FREE = {
    "seed": [0, 1, 2], "body_seed": [0, 1], "init": ["random", "language"], "lr": [1e-3, 3e-3],
    "weight_decay": [0, 0.1], "warmup_steps": [0, 5], "schedule": ["constant", "cosine"], "clip_norm": [1.0, None],
    "orthogonal_gain": [1.0, 1.41], "num_steps": [100, 200],
}  # fmt: skip
FIXED = {
    "task": "digits", "task_args": {"n": 1}, "protocol": "paper", "body": "llama", "size": "mini", "num_layers": 1,
    "train_set": "full", "features": "cached", "num_train_examples": 9, "batch_size": 8, "dropout": 0.0,
    "eval_every_steps": 20, "precision": "bf16",
}  # fmt: skip


def test_every_field_is_either_free_or_fixed() -> None:
    assert set(FREE) == VARYING and set(FREE) | set(FIXED) == {field.name for field in dataclasses.fields(RunSpec)}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", FREE)
def test_runs_may_differ_in_free_fields(name: str, device: str) -> None:
    runs = [dataclasses.replace(BASE, **{name: value}) for value in FREE[name]]
    is_split = device == "cpu" and name in ("init", "body_seed")
    assert len(make_packs(runs, device=device)) == (len(runs) if is_split else 1)


@pytest.mark.parametrize("name", FIXED)
def test_runs_must_agree_in_fixed_fields(name: str) -> None:
    base = dataclasses.replace(BASE, train_set="output-only") if name == "features" else BASE
    other = dataclasses.replace(base, **{name: FIXED[name]})
    assert len(make_packs([base, other], device="cuda")) == 2
    with pytest.raises(AssertionError):
        Pack((base, other))


def test_checkpoints_are_not_mixed_since_each_has_its_own_shapes() -> None:
    inits = ["checkpoint:one", "checkpoint:two"]
    grid = [dataclasses.replace(BASE, init=init, size=None, seed=seed) for init in inits for seed in range(2)]
    assert [len(pack.runs) for pack in make_packs(grid, device="cuda")] == [2, 2]


runs = st.lists(
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in FREE.items()}), max_size=60
).map(lambda changes: list({run.run_id: run for run in (dataclasses.replace(BASE, **c) for c in changes)}.values()))


@settings(deadline=None, max_examples=50)
@given(runs, st.sampled_from(["cpu", "cuda"]), st.none() | st.integers(0, 60))
def test_every_run_is_packed_once_within_its_memory(grid: list[RunSpec], device: str, memory: int | None) -> None:
    footprint = Footprint(num_tokens=10, own_bytes=3, body_bytes=5)
    options = {"device": device, "footprints": {run.run_id: footprint for run in grid}, "memory_bytes": memory}
    packs = make_packs(grid, **options)
    assert sorted(run.run_id for pack in packs for run in pack.runs) == sorted(run.run_id for run in grid)
    assert all(1 <= len(pack.runs) <= MAX_SIZE[device] for pack in packs)
    if memory is not None:
        assert all(len(pack.runs) == 1 or pack_bytes(pack.runs, footprint) <= 0.8 * memory for pack in packs)
    assert len({pack.pack_id for pack in packs}) == len(packs)
    assert make_packs(grid, **options) == packs


def test_a_pack_holds_its_runs_and_each_different_body_once() -> None:
    footprint = Footprint(num_tokens=10, own_bytes=3, body_bytes=100)
    shared = [dataclasses.replace(BASE, seed=seed) for seed in range(4)]
    own = [dataclasses.replace(BASE, seed=seed, body_seed=seed // 2) for seed in range(4)]
    assert pack_bytes(shared, footprint) == 112 and pack_bytes(own, footprint) == 212
    footprints = {run.run_id: footprint for run in (*shared, *own)}
    for grid, sizes in ((shared, [4]), (own, [2, 2])):
        packs = make_packs(grid, device="cuda", footprints=footprints, memory_bytes=150)
        assert [len(pack.runs) for pack in packs] == sizes


@pytest.mark.parametrize(("num_tokens", "batch_size", "size"), [(10, 16, 8), (120, 4, 4), (64, 16, 4), (512, 4, 1)])
def test_long_sequences_are_not_packed_on_a_cpu(num_tokens: int, batch_size: int, size: int) -> None:
    """The shapes of benchmarks/throughput_nano.md, each at the pack size that was fastest or as fast."""
    grid = [dataclasses.replace(BASE, batch_size=batch_size, seed=seed) for seed in range(8)]
    footprints = {run.run_id: Footprint(num_tokens, 1, 1) for run in grid}
    assert len(make_packs(grid, device="cpu", footprints=footprints)[0].runs) == size
    assert len(make_packs(grid, device="cuda", footprints=footprints)) == 1


def test_small_packs_share_a_gpu() -> None:
    gpu, context = 80 * 2**30, 2**30
    for num_bytes, sharing in ((1, 4), (2**34 - context, 4), (2**34, 3), (30 * 2**30, 2), (60 * 2**30, 1), (gpu, 1)):
        share = gpu_share(num_bytes, gpu)
        assert int(1 / share) == sharing and share * sharing <= 1
    assert gpu_share(1, None) == 1


def test_full_training_stays_alone_on_a_cpu_only() -> None:
    for train_set in ("full", "output+attention", "feedforward"):
        grid = [dataclasses.replace(BASE, train_set=train_set, seed=seed) for seed in range(3)]
        assert [len(pack.runs) for pack in make_packs(grid, device="cpu")] == [1, 1, 1]
        assert len(make_packs(grid, device="cuda")) == 1


def test_runs_of_equal_length_share_packs() -> None:
    grid = [dataclasses.replace(BASE, num_steps=100 + 100 * (seed % 2), seed=seed) for seed in range(8)]
    footprints = {run.run_id: Footprint(num_tokens=10, own_bytes=1, body_bytes=0) for run in grid}
    packs = make_packs(grid, device="cuda", footprints=footprints, memory_bytes=5)
    assert [{run.num_steps for run in pack.runs} for pack in packs] == [{100}, {200}]


def test_pack_id_is_that_of_its_runs_in_any_order() -> None:
    other = dataclasses.replace(BASE, seed=1)
    assert Pack((BASE, other)).pack_id == Pack((other, BASE)).pack_id != Pack((BASE,)).pack_id
