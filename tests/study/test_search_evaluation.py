"""From a request to rows without Ray: who trains together, what a bad proposal costs the others, what is never read."""

import dataclasses
import json
import math
from typing import ClassVar

import pytest
import torch

from study import search_rows
from study.__main__ import main
from study.errors import UserError
from study.ledger import Ledger
from study.measurements import Evaluated, Finished
from study.origin import Origin
from study.search_evaluation import evaluate, score_of
from study.search_readings import COMPLETE, DIVERGED, FAILED, PRUNED
from study.search_request import Request, plans
from study.search_server import LOST, SearchServer
from study.search_training import SearchTraining
from study.spec import RunSpec
from study.storage import open_storage
from study.storage_objects import ObjectStorage
from tasks.bits import BitXor

BASE = RunSpec(
    task="bit-xor", task_args={"num_valid_examples": 16, "num_test_examples": 16}, size="nano", num_layers=1,
    init="random", num_steps=9, eval_every_steps=1, batch_size=4, dropout=0.0,
)  # fmt: skip
ORIGIN = Origin(None, torch.device("cpu"))
BAD, GREEDY = 0.05, 0.08
"""Learning rates from which the engine below diverges, and runs out of memory."""


class Engine:
    """Learns at once what a learning rate allows; remembers who trained together."""

    packs: ClassVar[list] = []

    def __init__(self, runs, **_):
        type(self).packs.append(tuple(runs))
        if max(run.lr for run in runs) > GREEDY:
            raise MemoryError("no room")
        self.runs, self.step = list(runs), 0

    def rounds(self):
        while self.runs:
            yield [self._evaluated(run) for run in self.runs]
            yield []
            self.step += 1

    def _evaluated(self, run):
        loss = math.nan if run.lr > BAD and self.step >= 1 else 1.0
        accuracy = 1 - abs(math.log10(run.lr) + 2) / 3 - 0.01 * (run.seed % 2)
        return Evaluated(run.run_id, self.step, "valid", 16, loss, accuracy, run.lr, None, 0.0, 0.0)

    def drop(self, run_ids):
        self.runs = [run for run in self.runs if run.run_id not in run_ids]


@pytest.fixture
def server(tmp_path):
    """Makes a server of searches over learning rates at given points."""
    Ledger(str(tmp_path / "out")).prepare()

    def make(*rates, width=4, per_pack=4, variants=1):
        runs = [BASE, dataclasses.replace(BASE, train_set="full")][:variants]
        texts = ["lr=log:1e-4..1e-1", *(["others=fixed"] if rates else [])]
        made = plans(Request("bit-xor", None, len(rates) or 8, overrides=texts), runs)
        if rates:
            made = [dataclasses.replace(each, points=tuple({"lr": lr} for lr in rates)) for each in made]
        return SearchServer(str(tmp_path / "out"), made, width, {each.name: per_pack for each in made}), made

    Engine.packs.clear()
    return make


def work(server, tmp_path, engine=Engine, lane=0):
    storage = open_storage(str(tmp_path / "out"))
    while (cohort := server.next(lane)) is not None:
        for _ in evaluate(cohort, server, origin=ORIGIN, storage=storage, make_engine=engine):
            pass


def rows(tmp_path) -> list[dict]:
    table, problems = search_rows.read(open_storage(str(tmp_path / "out")))
    assert problems == []
    return table.to_pylist()


def test_every_proposal_becomes_a_row(server, tmp_path):
    made, _ = server(0.0001, 0.01, 0.0002, 0.001, 0.06, 0.1, 0.02, 0.0003)
    work(made, tmp_path)
    found = {row["number"]: row for row in rows(tmp_path)}
    assert {number: row["state"] for number, row in found.items()} == {
        0: PRUNED, 1: COMPLETE, 2: PRUNED, 3: PRUNED, 4: DIVERGED, 5: FAILED, 6: PRUNED, 7: PRUNED,
    } | {6: found[6]["state"]}  # fmt: skip
    assert found[1]["rung_steps"] == [1, 3, 9] and found[1]["num_steps_done"] == 18
    assert found[1]["score"] == pytest.approx(0.995) and found[1]["seed_accuracies"] == pytest.approx([1.0, 0.99])
    assert found[5]["error"] == "MemoryError: no room" and found[5]["rung_steps"] == []
    assert found[4]["rung_steps"][:1] == [1] and json.loads(found[4]["params"])["lr"] == 0.06
    assert {row["train_set"] for row in found.values()} == {"fpt"} and found[0]["ended_at"] is not None
    assert made.progress().ended == made.progress().total == 8


def test_seeds_and_proposals_of_one_shape_train_together(server, tmp_path):
    made, _ = server(width=4, per_pack=2)
    work(made, tmp_path)
    assert {len(pack) for pack in Engine.packs} <= {2, 4}
    for pack in Engine.packs:
        assert len({(run.batch_size, run.dropout) for run in pack}) == 1
        assert {run.seed for run in pack} == {1_000_000, 1_000_001}


def test_variants_take_turns_in_cohorts_of_one_width(server):
    made, searches = server(width=3, variants=2)
    order = [made.next(lane) for lane in range(6)]
    assert [len(cohort.proposals) for cohort in order] == [3, 3, 3, 3, 2, 2]
    assert [cohort.study for cohort in order] == [search.name for search in searches] * 3
    assert made.next(9) is None


def test_a_worker_that_dies_costs_only_the_proposal_that_kills_it(server, tmp_path):
    made, _ = server(0.001, 0.002, 0.003)
    assert len(made.next(7).proposals) == 3
    again = [made.next(7), made.next(7), made.next(7)]  # it comes back each time without a result
    assert [[each.number for each in cohort.proposals] for cohort in again] == [[0], [1], [2]]
    work(made, tmp_path, lane=7)
    assert [(row["state"], row["error"]) for row in rows(tmp_path)] == [(FAILED, LOST)] * 3


def test_a_pack_that_cannot_be_trained_is_tried_one_by_one(server, tmp_path):
    made, _ = server(0.01, 0.09, 0.02)
    work(made, tmp_path)
    assert [row["state"] for row in rows(tmp_path)].count(FAILED) == 1
    assert [len(pack) for pack in Engine.packs] == [6, 2, 2, 2]


def test_equal_accuracies_are_told_apart_by_loss():
    assert score_of([1.0, 1.0], [0.2, 0.1]) > score_of([1.0, 1.0], [0.3, 0.1])
    assert score_of([0.51, 0.50], [9.0, 9.0]) > score_of([0.50, 0.50], [0.0, 0.0])


class Tainted(BitXor):
    """Bit XOR whose test split must not be read."""

    name = "bit-xor"

    def split(self, name, device):
        assert name != "test", "the test split was read"
        return super().split(name, device)

    @property
    def floor_accuracy(self):
        raise AssertionError("the test split was read")

    def check(self):
        raise AssertionError("the test split was read")


@pytest.fixture
def tainted(monkeypatch):
    from tasks import catalogue

    catalogue._task.cache_clear()
    monkeypatch.setattr(catalogue, "_task_class", lambda name: Tainted)
    yield
    catalogue._task.cache_clear()


def test_a_search_never_reads_the_test_split(tainted, server, tmp_path):
    torch.set_num_threads(1)
    made, _ = server(0.001, 0.01, 0.1, width=3)
    trained = []

    class Diverging(SearchTraining):
        """The real engine; the first run of a pack had a loss that was not finite, and recovered."""

        def advance(self, num_steps):
            super().advance(num_steps)
            trained.append(len(self.runs))
            if self.step == 2:
                self._first_bad[0] = 2

    work(made, tmp_path, engine=Diverging)
    states = [row["state"] for row in rows(tmp_path)]
    assert len(states) == 3 and {COMPLETE, DIVERGED} & set(states)
    assert trained[0] == 6 and min(trained) < 6


def test_a_dropped_run_changes_nothing_for_the_others(tmp_path):
    """The clean early stop: the runs that stay are trained as they would be alone."""
    from models.bodies import architecture
    from models.initialise import body_state
    from tasks.catalogue import make_task

    task = make_task("bit-xor", protocol="fixed", args=BASE.task_args)
    runs = [dataclasses.replace(BASE, lr=lr, num_steps=4, eval_every_steps=2) for lr in (1e-3, 1e-2, 3e-3)]
    body = architecture("gpt2", size="nano", num_layers=1, protocol="fixed")
    state = body_state(body, "random", seed=0)

    def engine(chosen):
        device = torch.device("cpu")
        return SearchTraining(chosen, task=task, architecture=body, bodies=[state] * len(chosen), device=device)

    packed, alone = engine(runs), engine(runs[1:2])
    losses = {"packed": [], "alone": []}
    for name, training in (("packed", packed), ("alone", alone)):
        for measurements in training.rounds():
            losses[name] += [each.loss for each in measurements if isinstance(each, Evaluated)
                             and each.split == "valid" and each.run_id == runs[1].run_id]  # fmt: skip
            if training.step == 2 and name == "packed" and len(training.runs) == 3:
                training.drop({runs[0].run_id, runs[2].run_id})
            assert not any(isinstance(each, Finished) and each.test_loss == each.test_loss for each in measurements)
    assert len(losses["alone"]) == 3 and losses["packed"] == pytest.approx(losses["alone"], rel=1e-5)


def test_a_journal_in_a_store_is_pushed_before_a_worker_is_answered(server, tmp_path, monkeypatch):
    import pyarrow.fs

    from study.search_plan import Journal, open_study

    _, (plan,) = server()
    root = tmp_path / "store"
    root.mkdir()
    storage = ObjectStorage("mock://x", pyarrow.fs.LocalFileSystem(), str(root))
    journal = Journal(storage, plan.name)
    study = open_study(plan, journal)
    study.ask(2)
    assert len(open_study(plan, Journal(storage, plan.name)).trials) == 0
    journal.push()
    assert len(open_study(plan, Journal(storage, plan.name)).trials) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_samples": 0}, "--samples must be at least 1"),
        ({"num_seeds": 0}, "--seeds must be at least 1"),
        ({"num_seeds": 9}, "--seeds must be at most 8"),
        ({"num_steps": 0}, "--num-steps must be at least 1"),
        ({"sampler": "tpr"}, "did you mean tpe"),
        ({"task": "bit-xr"}, "unknown task in this grid 'bit-xr'; did you mean bit-xor"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(changes, told):
    with pytest.raises(UserError, match=told):
        plans(dataclasses.replace(Request("bit-xor", None, 4), **changes), [BASE])


def test_an_unfair_search_is_refused():
    longer = dataclasses.replace(BASE, train_set="full", num_steps=18)
    with pytest.raises(UserError, match="differ in steps x batch"):
        plans(Request("bit-xor", None, 4), [BASE, longer])
    cached = dataclasses.replace(BASE, train_set="output-only", features="cached")
    with pytest.raises(UserError, match="cannot use cached features"):
        plans(Request("bit-xor", None, 4), [cached])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name what to search for: --variant NAME, which may be repeated, or --all-variants"),
        (["--variant", "fpt", "--all-variants"], "name what to search for"),
        (["--variant", "frozen"], "did you mean frozen-random"),
        (["--all-variants", "--set", "lr=log:0..1"], "the logarithm of 0 does not exist"),
        (["--all-variants", "--grid", "table-3-small", "--where", "task=listops"], "differ"),
    ],
)
def test_the_command_refuses_before_anything_is_written(tmp_path, capsys, arguments, told):
    task = "listops" if "--where" in arguments else "bit-xor"
    command = ["search", task, "--samples", "4", "--out", str(tmp_path / "out"), *arguments]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
