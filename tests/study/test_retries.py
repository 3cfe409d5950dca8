"""Which runs are tried again after their worker died, and what a cluster offers: arithmetic, no cluster."""

import dataclasses
import math

import pytest
import torch
from ray.exceptions import ActorUnavailableError, RayActorError

from study.bodies import BodySource
from study.capacity import Capacity, capacity_of, has_gpu
from study.errors import UserError
from study.execution import failed_row
from study.launch import _run
from study.ledger import Ledger
from study.packing import Footprint, Pack
from study.recipes import recipe_for
from study.retries import EARLY_LOSS, NODE_LOSS, adopted, again
from study.rounds import Launch, gpus_of
from study.spec import RunSpec
from study.trials import _explained

BASE = RunSpec(task="bit-xor", size="nano", init="random", num_steps=100, eval_every_steps=10)
RUNS = [dataclasses.replace(BASE, seed=seed) for seed in range(8)]
SIZED = "the worker died: The actor died unexpectedly before finishing this task: SIGKILL, perhaps out of memory"
GONE = f"{NODE_LOSS}: The actor died because its node has died. Node Id: 5f"


def seeds(packs: list[Pack]) -> list[list[int]]:
    return [[run.seed for run in pack.runs] for pack in packs]


def test_a_pack_that_kills_its_worker_is_halved_until_the_culprit_is_alone() -> None:
    packs, culprit, finished, rounds = [Pack(tuple(RUNS))], RUNS[5].run_id, set(), []
    while packs:
        finished |= {run.run_id for pack in packs for run in pack.runs if culprit not in map(_id, pack.runs)}
        packs = again(packs, finished, {pack.pack_id: SIZED for pack in packs})
        rounds.append(seeds(packs))
    assert rounds == [[[0, 1, 2, 3], [4, 5, 6, 7]], [[4, 5], [6, 7]], [[4], [5]], []]


def _id(run: RunSpec) -> str:
    return run.run_id


def test_a_pack_whose_machine_went_is_tried_as_it_was() -> None:
    packs = [Pack(tuple(RUNS[:4])), Pack((RUNS[4],)), Pack(tuple(RUNS[5:]))]
    errors = {packs[0].pack_id: GONE, packs[1].pack_id: GONE}
    assert seeds(again(packs, {RUNS[0].run_id}, errors)) == [[1, 2, 3], [4], [5, 6], [7]]


def test_a_ledger_that_a_worker_could_not_reach_is_no_fault_of_its_runs() -> None:
    pack = Pack(tuple(RUNS[:4]))
    errors = {pack.pack_id: "StorageError: cannot read 's3://b/runs': time-out"}
    assert seeds(again([pack], set(), errors)) == [[0, 1, 2, 3]]


def test_bodies_whose_machine_went_are_made_before_what_needs_them(tmp_path, monkeypatch) -> None:
    need = [
        dataclasses.replace(run, init=init, body_seed=0) for run, init in zip(RUNS, ("language", "dyck"), strict=False)
    ]
    sources = {run.run_id: BodySource(run.init, recipe_for(run.init, body="gpt2", size="nano"), None) for run in need}
    lost, bad = (sources[run.run_id].key for run in need)
    rounds, ledger = [], Ledger(str(tmp_path))

    def run_round(launch: Launch, bodies, packs, offer, later=0.0) -> dict[str, str]:
        rounds.append(([source.key for source in bodies], seeds(packs), launch.body_errors))
        return {lost: f"{EARLY_LOSS}: SIGKILL", bad: "ValueError: no text"} if len(rounds) == 1 else {}

    monkeypatch.setattr("study.rounds.run_round", run_round)
    monkeypatch.setattr("study.capacity.capacity", lambda: Capacity("cpu", 2, 2, 1e12, None))
    monkeypatch.setattr("study.launch._lost", lambda *_: [])
    _run(Launch(ledger, flops=dict.fromkeys(sources, 1.0), sources=sources), need)
    assert rounds[:2] == [([lost, bad], [], {}), ([lost], [], {})]
    assert rounds[2][2] == {bad: "ValueError: no text"} and len(rounds) == 3


def test_packs_with_a_state_are_made_again() -> None:
    ids = [run.run_id for run in RUNS]
    unfinished = {"a": [ids[6], ids[2]], "b": ids[2:4], "c": [ids[3], "0" * 16], "d": [ids[7]], "e": []}
    assert seeds(adopted(RUNS, unfinished)) == [[6, 2], [7]]


@pytest.mark.parametrize("has_failed_before", [False, True])
@pytest.mark.parametrize("reason", [SIZED, GONE])
def test_runs_that_failed_before_are_retried_like_new_ones(
    made, tmp_path, monkeypatch: pytest.MonkeyPatch, reason: str, has_failed_before: bool
) -> None:
    """The row of the earlier failure says nothing of what happens to the run now."""
    ledger, rounds = Ledger(str(tmp_path / "out")), []
    ledger.prepare()
    if has_failed_before:
        ledger.append([failed_row(run, "MissingData: none") for run in RUNS[:4]], [], "p")

    def run_round(launch: Launch, bodies, packs, offer, later=0.0) -> dict[str, str]:
        rounds.append(seeds(packs))
        died = [pack for pack in packs if len(rounds) == 1 or (reason == SIZED and RUNS[3] in pack.runs)]
        for pack in packs:
            if pack not in died:
                ledger.append([{**failed_row(run, ""), "status": "done"} for run in pack.runs], [], pack.pack_id)
        return {pack.pack_id: reason for pack in died}

    monkeypatch.setattr("study.rounds.run_round", run_round)
    monkeypatch.setattr("study.capacity.capacity", lambda: Capacity("cpu", 2, 2, 1e12, None))
    _run(Launch(ledger, flops={run.run_id: 1.0 for run in RUNS}), RUNS[:4])
    if reason == GONE:
        assert rounds == [[[0, 1, 2, 3]], [[0, 1, 2, 3]]] and set(ledger.finished().values()) == {"done"}
    else:
        assert rounds == [[[0, 1, 2, 3]], [[0, 1], [2, 3]], [[2], [3]]]
        errors = {row["seed"]: row["error"] for row in ledger.runs().to_pylist() if row["status"] == "failed"}
        assert errors == {3: SIZED}


def test_the_scarcest_node_counts() -> None:
    head = {"memory": 4e9, "object_store_memory": 1e9}
    nodes = [head, {"CPU": 8.0, "memory": 32e9}, {"CPU": 4.0, "memory": 8e9}]
    assert capacity_of(nodes, []) == Capacity("cpu", num_cpus=12, node_cpus=8, host_bytes=2e9, gpu_bytes=None)
    offer = capacity_of([*nodes, {"CPU": 8.0, "GPU": 2.0, "memory": 64e9}], [80, 40, None])
    assert (offer.device, offer.num_cpus, offer.trial_bytes) == ("cuda", 8, 40)
    assert capacity_of([{"CPU": 1.0, "GPU": 1.0}], [None]).trial_bytes is None
    assert capacity_of([{"CPU": 1.0}], []).trial_bytes == math.inf


def test_a_body_asks_for_no_more_processors_than_a_node_with_a_gpu_has() -> None:
    nodes = [{"CPU": 64.0, "memory": 512e9}, {"CPU": 2.0, "GPU": 1.0, "memory": 16e9}]
    offer = capacity_of(nodes, [80])
    assert (offer.num_cpus, offer.node_cpus, offer.host_bytes) == (2, 2, 8e9)


def test_a_gpu_that_torch_does_not_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on one processor instead would be a silent fallback, at the price of a GPU."""
    with pytest.raises(UserError, match="Ray counts a GPU where torch sees none"):
        capacity_of([{"CPU": 1.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}], [80, 0])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not has_gpu(0.0)
    with pytest.raises(RuntimeError, match="CUDA_VISIBLE_DEVICES"):
        has_gpu(0.25)


def test_gpus_of_a_trial_follow_what_it_takes(tmp_path) -> None:
    pack = Pack(tuple(RUNS))
    launch = Launch(Ledger(str(tmp_path)), footprints={run.run_id: Footprint(10, 10, 10) for run in RUNS})
    large = Launch(Ledger(str(tmp_path)), footprints={run.run_id: Footprint(10, 2**34, 10) for run in RUNS})
    gpu = Capacity("cuda", 8, 8, 1e9, gpu_bytes=80 * 2**30)
    assert gpus_of(launch, pack, gpu) == 0.25 and gpus_of(large, pack, gpu) == 1
    assert gpus_of(launch, BodySource("language", recipe_for("language", body="gpt2", size="nano"), None), gpu) == 1
    assert gpus_of(launch, pack, Capacity("cpu", 8, 8, 1e9, None)) == 0


def test_a_machine_that_went_is_told_from_a_worker_that_died() -> None:
    went = [ActorUnavailableError("no answer", None), RayActorError("ab", "It was taken.", False, True)]
    went.append(RayActorError("ab", "The actor died because its node has died. Node Id: 5f"))
    assert all(_explained(error, is_final=True).startswith(NODE_LOSS) for error in went)
    died = RayActorError("ab", "The actor died unexpectedly:\n \x1b[36mray::Trial\x1b[39m was killed")
    assert _explained(died, is_final=True) == "the worker died: The actor died unexpectedly: ray::Trial was killed"
