"""A study in its journal: what is told, what a kill leaves behind, and that no proposal is evaluated twice."""

import dataclasses
import io
import json
import math
import subprocess
import sys

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from study.errors import UserError
from study.search_overrides import overridden
from study.search_readings import COMPLETE, DIVERGED, FAILED, PRUNED, RUNNING, Reading, readings, state_of
from study.search_rungs import rung_steps
from study.search_space import SHAPES, default_space, own_values
from study.search_study import SearchStudy
from study.spec import RunSpec

RUN = RunSpec(task="bit-xor", size="nano", init="random", num_steps=90, eval_every_steps=10, batch_size=8, dropout=0.0)
SPACE = default_space(RUN, None)
ONLY_LR = overridden(SPACE, ["lr=log:1e-4..1e-1", "others=fixed"], RUN, None)
STEPS = rung_steps(90, 10)


def opened(folder, *, sampler="random", num_samples=9, steps=STEPS, points=(), space=SPACE):
    return SearchStudy(
        folder / "journal.log", "one", space, sampler=sampler, rung_steps=steps, num_samples=num_samples,
        first=space.own(own_values(RUN)), points=points,
    )  # fmt: skip


def quality(values) -> float:
    """Highest at a learning rate of 1e-2."""
    return 1 - abs(math.log10(values["lr"]) + 2) / 3


def reading(step, score, num_steps=0):
    return Reading(step, (score, None), (0.5, None), score, num_steps)


def finish(study, asked):
    """Train a cohort until every proposal has ended."""
    left = {proposal.number: proposal for proposal in asked}
    for step in study_steps(study):
        going_on = study.reach({n: reading(step, quality(each.values), 2 * step) for n, each in left.items()})
        left = {number: left[number] for number in going_on}
    assert not left


def study_steps(study):
    return study._rungs.steps


def test_a_stopped_proposal_is_pruned_with_what_it_reached_and_never_complete(tmp_path):
    study = opened(tmp_path)
    while study.num_left:
        finish(study, study.ask(3))
    states = [state_of(trial) for trial in study.trials]
    assert states.count(PRUNED) + states.count(COMPLETE) == 9 and COMPLETE in states and PRUNED in states
    for trial in study.trials:
        reached = [each.step for each in readings(trial)]
        assert list(trial.intermediate_values) == reached
        assert (trial.state is TrialState.COMPLETE) == (reached[-1] == STEPS[-1])
    best = max(study.trials, key=lambda trial: quality(trial.params))
    assert study.best is not None and study.best.number == best.number  # stopping lost nothing: scores are exact
    assert study.ask(3) == []


def test_the_grids_own_values_come_first_and_a_cohort_shares_its_shapes(tmp_path):
    study = opened(tmp_path, sampler="tpe")
    first = study.ask(3, SHAPES)
    assert first[0].values == own_values(RUN)
    later = study.ask(3, SHAPES)
    for cohort in (first, later):
        assert len({tuple(each.values[name] for name in SHAPES) for each in cohort}) == 1
    assert len({each.values["lr"] for each in (*first, *later)}) == 6


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_what_was_at_work_goes_on_after_a_kill_and_nothing_is_proposed_twice(tmp_path, sampler):
    before = opened(tmp_path, sampler=sampler)
    finish(before, before.ask(3))
    at_work = before.ask(3)
    before.reach({3: reading(10, 0.99)})
    after = opened(tmp_path, sampler=sampler)  # nothing was closed
    assert after.unfinished() == at_work and after.num_left == 3
    finish(after, after.unfinished())
    finish(after, after.ask(9))
    assert [state_of(trial) for trial in after.trials].count(RUNNING) == 0 and len(after.trials) == 9
    assert len({trial.params["lr"] for trial in after.trials}) == 9
    assert [trial.params for trial in before.trials[:3]] == [trial.params for trial in after.trials[:3]]


def test_more_samples_continue_a_complete_study(tmp_path):
    study = opened(tmp_path, num_samples=2)
    finish(study, study.ask(5))
    more = opened(tmp_path, num_samples=4)
    assert more.num_left == 2 and [each.number for each in more.ask(9)] == [2, 3]


def test_a_torn_last_line_is_cut_off(tmp_path):
    study = opened(tmp_path)
    finish(study, study.ask(2))
    whole = (tmp_path / "journal.log").read_bytes()
    for end in (b'{"op_code":5,"wor', b'{"op_code":5}\n{"op'):
        (tmp_path / "journal.log").write_bytes(whole + end.split(b"\n")[-1])
        again = opened(tmp_path)
        assert len(again.trials) == 2
        finish(again, again.ask(1))
        assert len(opened(tmp_path).trials) == 3
        (tmp_path / "journal.log").write_bytes(whole)


def test_a_kill_between_two_lines_of_asking_loses_and_repeats_nothing(tmp_path):
    study = opened(tmp_path)
    study._study.enqueue_trial({"lr": 0.02})
    again = opened(tmp_path)
    (proposal,) = again.ask(1)
    assert proposal.values["lr"] == 0.02 and again.num_left == 8
    assert [trial.state for trial in again._study.get_trials()] == [TrialState.RUNNING]


def test_diverged_and_failed_proposals_are_recorded_and_the_study_goes_on(tmp_path):
    study = opened(tmp_path, sampler="tpe")
    study.ask(3)
    assert study.reach({0: reading(10, math.nan, 6), 1: reading(10, 0.5, 20)}) == {1}
    study.fail(2, "MemoryError: no room")
    assert [state_of(trial) for trial in study.trials] == [DIVERGED, RUNNING, FAILED]
    assert readings(study.trials[0])[0].num_steps == 6 and study.trials[2].user_attrs["error"] == "MemoryError: no room"
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL]
    study.reach({1: reading(90, 0.5)})
    finish(study, study.ask(9))
    assert study.num_left == 0


def test_a_worker_that_was_given_up_changes_nothing(tmp_path):
    study = opened(tmp_path)
    study.ask(1)
    study.reach({0: reading(90, 0.7)})
    assert study.reach({0: reading(90, 0.9)}) == set()
    assert study.trials[0].value == 0.7 and len(readings(study.trials[0])) == 1


def test_a_worker_that_was_given_up_cannot_fail_what_has_ended(tmp_path):
    study = opened(tmp_path, num_samples=1)
    asked = study.ask(1)
    finish(study, asked)
    study.fail(asked[0].number, "too late")
    assert state_of(study.trials[0]) == COMPLETE


@pytest.mark.parametrize("line", ["{", "{}", "[]"])
def test_a_journal_that_is_damaged_in_the_middle_is_named_in_one_line(tmp_path, line: str):
    finish(opened(tmp_path, num_samples=1), opened(tmp_path, num_samples=1).ask(1))
    journal = tmp_path / "journal.log"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    with pytest.raises(UserError, match=r"journal\.log is damaged .*move it away"):
        opened(tmp_path)


def test_stopping_early_saves_half_of_the_steps_where_most_settings_are_bad(tmp_path):
    rates = [0.1 * 1000 ** (-number / 26) for number in range(27)]
    points = [{"lr": lr} for lr in sorted(rates, key=lambda lr: math.sin(1e6 * lr))]  # in no order
    spent, best = {}, {}
    for name, steps in (("whole", (90,)), ("halving", STEPS)):
        folder = tmp_path / name
        folder.mkdir()
        study = opened(folder, steps=steps, points=points, num_samples=27, space=ONLY_LR)
        while study.num_left:
            finish(study, study.ask(4))
        assert study.best is not None
        best[name] = study.best.params["lr"]
        spent[name] = sum(readings(trial)[-1].num_steps for trial in study.trials)
    assert best["halving"] == best["whole"]
    assert spent["halving"] <= spent["whole"] / 2


def test_the_dashboard_of_optuna_lists_a_study_from_its_journal(tmp_path):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    study = opened(tmp_path)
    study.describe({"task": "bit-xor"})
    finish(study, study.ask(2))
    app = dashboard.wsgi(JournalStorage(JournalFileBackend(str(tmp_path / "journal.log"))))
    request = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "wsgi.input": io.BytesIO(), "SERVER_NAME": "x"}
    said = []
    body = b"".join(app(request, lambda status, headers, *_: said.append(status)))
    assert said == ["200 OK"]
    (listed,) = json.loads(body)["study_summaries"]
    assert listed["study_name"] == "one" and {"key": "task", "value": "bit-xor"} in listed["user_attrs"]


def test_a_study_needs_neither_ray_nor_torch():
    code = "import study.search_study, sys; print({'ray', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_reading_survives_the_journal(tmp_path):
    study = opened(tmp_path)
    study.ask(1)
    told = dataclasses.replace(reading(10, math.nan, 7), accuracies=(0.25, None))
    study.reach({0: told})
    (back,) = readings(opened(tmp_path).trials[0])
    assert math.isnan(back.score) and dataclasses.replace(back, score=0.0) == dataclasses.replace(told, score=0.0)
