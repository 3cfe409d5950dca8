"""Making a body in one process: stopped, continued, waited for, refused."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from study.bodies import BodySource
from study.body_execution import BodyExecution
from study.body_store import has_body, read_card, read_state
from study.ledger import Ledger
from study.snapshot import to_bytes


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(str(tmp_path / "out"))
    made.prepare()
    return made


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _execution(source: BodySource, ledger: Ledger, **changes) -> BodyExecution:
    return BodyExecution(source, ledger=ledger, revision=None, device=torch.device("cpu"), **changes)


def _make(source: BodySource, ledger: Ledger) -> dict[str, torch.Tensor]:
    list(_execution(source, ledger).steps())
    return read_state(ledger.storage, source.key)


@pytest.fixture
def assert_whole(quick_body, quick_body_ledger):
    """Checks that a state is that of the body which nothing interrupted."""

    def check(found: dict[str, torch.Tensor]) -> None:
        expected = read_state(quick_body_ledger.storage, quick_body.key)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())

    return check


def _stopped_after(num_calls: int, source: BodySource, ledger: Ledger) -> None:
    """Begin to make the body, and be told to stop."""
    execution = _execution(source, ledger)
    steps = execution.steps()
    for _ in range(num_calls):
        next(steps)
    execution.stop()


@pytest.fixture
def _every_second_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.body_execution.LEAST_SECONDS", 0.0)


@pytest.mark.usefixtures("_every_second_counts")
@pytest.mark.parametrize("kind", ["torn", "foreign", "of another torch", "of another layout"])
def test_a_state_that_cannot_be_continued_is_set_aside(quick_body, ledger, assert_whole, caplog, kind):
    path = f"checkpoints/body-{quick_body.key}.safetensors"
    _stopped_after(4, quick_body, ledger)
    data = ledger.storage.read(path)
    if kind == "torn":
        ledger.storage.replace(path, data[: len(data) // 2])
    elif kind == "foreign":
        ledger.storage.replace(path, b"something else")
    elif kind == "of another torch":
        ledger.storage.replace(path, to_bytes({}, {"key": quick_body.key, "torch": "1.0"}))
    else:
        _execution(quick_body, ledger)._file.save({"pretraining": {}, "threads": 1})
    assert_whole(_make(quick_body, ledger))
    assert "starts anew" in caplog.text and "bit-memory body of gpt2 nano, seed 0" in caplog.text
    assert len(ledger.storage.names("quarantine/checkpoints")) == 1
    assert read_card(ledger.storage, quick_body.key)["num_resumed"] == 0


@pytest.mark.usefixtures("_every_second_counts")
def test_a_body_keeps_the_number_of_threads_it_began_with(quick_body, ledger):
    torch.set_num_threads(2)
    _stopped_after(2, quick_body, ledger)
    torch.set_num_threads(1)
    second = _execution(quick_body, ledger)
    next(iter(second.steps()))
    assert torch.get_num_threads() == 2
    assert "seed 0: continued, step 2 of 12, held-out accuracy 0." in second.tally.note


@pytest.mark.usefixtures("_every_second_counts")
def test_a_stopped_trial_keeps_its_state_and_gives_the_lease_back(quick_body, ledger, assert_whole):
    _stopped_after(5, quick_body, ledger)
    assert ledger.storage.names("checkpoints") == [f"body-{quick_body.key}.safetensors"]
    assert ledger.storage.names("leases") == []
    assert_whole(_make(quick_body, ledger))
    assert read_card(ledger.storage, quick_body.key)["num_resumed"] == 1


def test_whoever_comes_second_waits_and_says_for_whom(quick_body, ledger, monkeypatch):
    monkeypatch.setattr("study.body_execution._POLL_SECONDS", 0.01)
    first, second = _execution(quick_body, ledger), _execution(quick_body, ledger)
    working, waiting = first.steps(), second.steps()
    next(working)
    next(waiting)
    assert f"process {os.getpid()} of" in second.tally.note and second.tally.fraction == 0
    list(working)
    assert list(waiting) == []
    assert second.tally.ended == 1 and second.tally.failed == 0


def test_a_loss_that_is_not_finite_is_told_and_leaves_nothing(quick_body, ledger):
    bad = dataclasses.replace(quick_body, recipe=dataclasses.replace(quick_body.recipe, lr=1e30))
    execution = _execution(bad, ledger, checkpoint_seconds=0.0)
    list(execution.steps())
    assert execution.tally.failed == 1 and "no longer finite" in execution.tally.error
    assert not has_body(ledger.storage, bad.key)
    assert ledger.storage.names("checkpoints") == ledger.storage.names("leases") == []
