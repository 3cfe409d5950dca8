"""The plan: what it adds up equals its parts, what it refuses cannot run, and thousands of runs take no time."""

import dataclasses
import datetime as dt
import time
from pathlib import Path

import pytest

from models import BODIES, TRAINABLE
from models.bodies import architecture
from study import plan
from study.assemble import cost_of
from study.grids import load_grid
from study.grids.cells import Scale
from study.grids.tables import table_runs
from study.ledger import Ledger
from study.packing import make_packs
from study.preflight import resolve
from study.selection import select
from study.spec import RunSpec
from study.spec_checks import ABSENT_GROUPS
from tasks.catalogue import make_task

BASE = RunSpec(task="bit-xor", size="nano", init="random", num_steps=100, eval_every_steps=10)


def record(ledger: Ledger, run: RunSpec, status: str) -> None:
    ended_at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    ledger.append([{**run.as_columns(), "run_id": run.run_id, "status": status, "ended_at": ended_at}], [], "p")


def test_sums_equal_their_parts() -> None:
    runs = load_grid("quickstart")
    document = plan.answer("quickstart", resolve(runs), None).document
    assert document["runs"] == document["missing"] == len(runs) == sum(kind["runs"] for kind in document["kinds"])
    assert document["train_flops"] == pytest.approx(sum(kind["train_flops"] for kind in document["kinds"]))
    assert document["packs"] == {device: len(make_packs(runs, device=device)) for device in ("cpu", "cuda")}
    assert all(0 < low < high for low, high in document["hours"].values())
    # The controls are made from the language body: 36 runs of each pretrained body, and 24 of its derivatives.
    assert sorted((body["action"], body["runs"]) for body in document["bodies"]) == [("make", 36), ("make", 60)]


def test_cost_of_one_run() -> None:
    (priced,) = resolve([BASE])
    task = make_task("bit-xor", protocol="fixed", args={})
    cost = cost_of(BASE, task.layout, architecture("gpt2", size="nano"))
    assert priced.cost == cost and priced.num_tokens == 10
    assert priced.train_flops == 100 * cost.train_flops_per_step
    # 11 validations, one test, and a training sample as large as the validation split.
    assert priced.num_eval_examples == 11 * 1024 + 1024 + 1024
    assert priced.eval_flops == pytest.approx(cost.forward_flops / 4 * 13 * 1024)


def test_runs_that_ended_cost_nothing_more(tmp_path: Path) -> None:
    runs = [dataclasses.replace(BASE, seed=seed) for seed in range(4)]
    ledger = Ledger(str(tmp_path / "out"))
    ledger.prepare()
    for run, status in zip(runs, ("done", "failed", "diverged"), strict=False):
        record(ledger, run, status)
    document = plan.answer("mine", resolve(runs), ledger).document
    counts = {name: document[name] for name in ("runs", "done", "failed", "diverged", "missing")}
    assert counts == {"runs": 4, "done": 1, "failed": 1, "diverged": 1, "missing": 1}
    assert document["train_flops"] == resolve(runs)[3].train_flops


def test_totals_by_table_count_a_shared_run_in_each(tmp_path: Path) -> None:
    runs = select(load_grid("paper-small"), where="task=bit-xor", seeds=1)
    ledger = Ledger(str(tmp_path))
    (fpt,) = select(runs, where="body=gpt2,init=language,train_set=fpt")
    record(ledger, fpt, "done")
    priced = resolve(runs)
    document = plan.answer("paper-small", priced, ledger).document
    tables = {entry["table"]: entry for entry in document["tables"]}
    # FPT, a full transformer, and a full LSTM under two protocols; what is done costs nothing more.
    assert (tables["T1"]["runs"], tables["T1"]["todo"], tables["T1"]["scale"]) == (4, 3, "small")
    costs = {each.run.run_id: each for each in priced}
    ids = [run.run_id for run in table_runs("T1", Scale.SMALL) if run.run_id in costs and run.run_id != fpt.run_id]
    assert tables["T1"]["train_flops"] == pytest.approx(sum(costs[each].train_flops for each in ids))
    low, high = tables["T1"]["hours"]["cpu core"]
    assert 0 < low < high < document["hours"]["cpu core"][1]
    listed = {each["run_id"]: each for each in document["each"]}
    assert listed.keys() == {run.run_id for run in runs} and "T17" not in tables
    assert listed[fpt.run_id]["status"] == "done" and {"T1", "T2", "T6", "T9", "T19"} <= {*listed[fpt.run_id]["tables"]}
    assert sum(each["train_flops"] for each in listed.values()) > document["train_flops"]
    assert plan.answer("quickstart", priced, None).document["tables"] == []


def test_bodies_in_the_ledger_are_reused(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "out"))
    run = dataclasses.replace(BASE, init="bit-memory")
    (body,) = plan.answer("mine", resolve([run]), ledger).document["bodies"]
    assert body["action"] == "make"
    ledger.storage.commit(f"bodies/{body['key']}/card.json", b"{}")
    (body,) = plan.answer("mine", resolve([run]), ledger).document["bodies"]
    assert body["action"] == "reuse"


def test_published_bodies_are_loaded() -> None:
    run = dataclasses.replace(BASE, init="language", size="base")
    (body,) = plan.answer("mine", resolve([run]), None).document["bodies"]
    assert body["action"] == "load" and body["key"] is None


def test_thousands_of_runs_are_planned_in_seconds() -> None:
    resolve([BASE])
    runs = [dataclasses.replace(BASE, seed=seed) for seed in range(3000)]
    started = time.process_time()
    document = plan.answer("large", resolve(runs), None).document
    assert document["runs"] == 3000 and time.process_time() - started < 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task_args": {"num_bit": 5}}, "num_bits"),
        ({"task_args": {"num_bits": "five"}}, "num_bits"),
        ({"task_args": {"num_bits": 600}}, "1200 tokens, but body gpt2 nano has 1024 positions"),
        ({"num_layers": 5}, "4"),
    ],
)
def test_what_cannot_run_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        resolve([dataclasses.replace(BASE, **change)])
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("body", BODIES)
def test_absent_groups_are_those_without_parameters(body: str) -> None:
    (priced,) = resolve([dataclasses.replace(BASE, body=body, train_set="full")])
    empty = {group for group in TRAINABLE if not priced.cost.params_by_group[group]}
    assert empty == set(ABSENT_GROUPS.get(body, ()))
