"""Real processes that make a body: killed at any moment it continues to the same bits; of two one makes it."""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ray import cloudpickle

from study import launch, recipes, trainable
from study.body_execution import BodyExecution
from study.body_store import read_card, read_state
from study.ledger import Ledger
from study.recipes import Recipe
from study.spec import RunSpec
from study.storage import open_storage
from study.trainable import StudyTrial

# Workers cannot import test modules: the trial below travels by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

CPU = torch.device("cpu")
# Imports everything once, then forks a process for each line it reads, which makes a body in the ledger of that name.
_ZYGOTE = """
import os, sys
import torch
from study import state_file
from study.bodies import source_of
from study.body_execution import BodyExecution
from study.ledger import Ledger
from study.recipes import Recipe

state_file._MAX_SHARE = 1e9  # a state after every update
recipe = Recipe(**eval(sys.argv[1]))

def make(out):
    torch.set_num_threads(1)
    ledger = Ledger(out)
    source, device = source_of("bit-memory", recipe), torch.device("cpu")
    execution = BodyExecution(source, ledger=ledger, revision=None, device=device, checkpoint_seconds=0.0)
    for _ in execution.steps():
        print(os.getpid(), f"{execution.tally.fraction:.4f}", flush=True)
    print(os.getpid(), "ended", flush=True)
    os._exit(execution.tally.failed)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        make(line.strip())
    print(pid, "started", flush=True)
"""


def _ledger(folder: Path) -> Ledger:
    ledger = Ledger(str(folder / "out"))
    ledger.prepare()
    return ledger


@pytest.fixture(scope="module")
def expected(quick_body, quick_body_ledger) -> dict[str, torch.Tensor]:
    """The body that nothing interrupts."""
    return read_state(quick_body_ledger.storage, quick_body.key)


class Makers:
    """Processes that make the body."""

    def __init__(self, recipe: Recipe) -> None:
        values = repr(dataclasses.asdict(recipe))
        command = [sys.executable, "-c", _ZYGOTE, values]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, ledger: Ledger) -> int:
        """The number of a new process."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{ledger.uri}\n")
        self._process.stdin.flush()
        while True:
            pid, word = self.line()
            if word == "started":
                return pid

    def line(self) -> tuple[int, str]:
        """The next thing that one of the processes says: its number, and how far it is or "ended"."""
        assert self._process.stdout is not None
        pid, word = self._process.stdout.readline().split()
        return int(pid), word

    def share(self, pid: int) -> float:
        """How far a process says next that it is."""
        while True:
            number, word = self.line()
            if number == pid:
                return 1.0 if word == "ended" else float(word)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def makers(quick_body) -> Iterator[Makers]:
    found = Makers(quick_body.recipe)
    yield found
    found.close()


def _assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_killed_at_any_moment_it_continues_to_the_same_bits(quick_body, expected, makers, tmp_path):
    ledger, choice = _ledger(tmp_path), random.Random(0)
    reached = 0.0
    for target in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        pid = makers.start(ledger)
        share = makers.share(pid)
        while share == 0.0 < reached:  # the killed one is not gone yet
            share = makers.share(pid)
        assert share >= reached, "the state is written before it is told"
        while share < target:
            share = makers.share(pid)
        reached = share
        time.sleep(choice.uniform(0.0, 0.01))
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            _assert_same(read_state(ledger.storage, quick_body.key), expected)
    list(BodyExecution(quick_body, ledger=ledger, revision=None, device=CPU).steps())
    _assert_same(read_state(ledger.storage, quick_body.key), expected)
    assert read_card(ledger.storage, quick_body.key)["num_resumed"] >= 4
    assert ledger.storage.names("checkpoints") == ledger.storage.names("leases") == []


def test_two_processes_that_want_it_at_the_same_moment_make_it_once(quick_body, expected, makers, tmp_path):
    ledger = _ledger(tmp_path)
    running = {makers.start(ledger), makers.start(ledger)}
    at_work = set()
    while running:
        pid, word = makers.line()
        if word == "ended":
            running.discard(pid)
        elif word not in ("started", "0.0000"):
            at_work.add(pid)
    assert len(at_work) == 1
    _assert_same(read_state(ledger.storage, quick_body.key), expected)
    assert read_card(ledger.storage, quick_body.key)["num_resumed"] == 0


class DyingTrial(StudyTrial):
    """Kills its own process in the middle of a body, once."""

    def step(self):
        mark = Path(self._job.out) / ".died"
        if not mark.exists():
            for _ in range(6):
                next(self._work)
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


@pytest.mark.ray
def test_a_grid_continues_the_body_of_a_killed_worker(ray_runtime, quick_body, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(recipes, "_NANO", {"bit-memory": quick_body.recipe})
    spec = RunSpec(
        task="bit-xor", size="nano", num_layers=1, init="bit-memory", num_steps=1, eval_every_steps=1,
        task_args={"num_valid_examples": 16, "num_test_examples": 16},
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(trainable, "StudyTrial", DyingTrial)
        launch.run_grid([spec], out=str(out), checkpoint_seconds=0.0)
    storage = open_storage(str(out))
    assert (out / ".died").exists()
    assert read_card(storage, quick_body.key)["num_resumed"] == 1
