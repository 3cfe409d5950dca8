import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray import cloudpickle

from study import launch, rounds, trainable
from study.execution import Tally
from study.ledger import Ledger
from study.progress import Board
from study.spec import RunSpec
from study.trainable import Job, StudyTrial
from study.trials import fit

# Workers cannot import test modules: the trials below travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

BAD_SEED = 13


def grid(seeds, **changes) -> list[RunSpec]:
    values = {
        "task": "bit-xor",
        "task_args": {"num_valid_examples": 16, "num_test_examples": 16},
        "size": "nano",
        "num_layers": 1,
        "init": "random",
        "num_steps": 2,
        "eval_every_steps": 2,
    }
    return [RunSpec(**{**values, **changes}, seed=seed) for seed in seeds]


class DeadlyTrial(StudyTrial):
    """Kills its own process over one run, as the operating system does to one that needs too much memory."""

    def _begin(self, work):
        if any(run.seed == BAD_SEED for run in work.runs):
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._begin(work)


@pytest.mark.ray
def test_a_run_that_kills_its_worker_fails_alone_and_may_be_tried_again(ray_runtime, tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    specs = grid((0, BAD_SEED))
    with monkeypatch.context() as patch:
        patch.setattr(trainable, "StudyTrial", DeadlyTrial)
        patch.setattr(rounds, "MAX_FAILURES", 0)
        summary = launch.run_grid(specs, out=out)
    assert (summary.done, summary.failed, summary.missing) == (1, 1, 0)
    rows = {row["seed"]: row for row in Ledger(out).runs().to_pylist()}
    assert rows[0]["status"] == "done"
    assert rows[BAD_SEED]["error"].startswith("the worker died")

    assert launch.run_grid(specs, out=out).failed == 1
    assert launch.run_grid(specs, out=out, retry_failed=True).done == 2
    assert Ledger(out).runs().num_rows == 2


class Meeting:
    """Work that ends when two of its kind are done at the same time."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number, self.tally = folder, number, Tally(total=1)

    def steps(self):
        (self.folder / f".{self.number}").touch()
        until = time.monotonic() + 60
        while not all((self.folder / f".{other}").exists() for other in range(2)):
            assert time.monotonic() < until, "nobody else came"
            time.sleep(0.05)
        return iter(())

    def stop(self) -> None:
        pass


class MeetingTrial(StudyTrial):
    def _begin(self, work):
        return Meeting(Path(self._job.out), work)


@pytest.mark.ray
def test_two_trials_run_at_the_same_time(ray_runtime, tmp_path):
    board = Board("runs", work=[1.0, 1.0], total=2)
    assert fit(MeetingTrial, Job(str(tmp_path), None, [0, 1]), max_failures=0, board=board) == {}


_DRIVER = """
import sys
from study.launch import run_grid
from study.spec import RunSpec
if __name__ == "__main__":
    run_grid([RunSpec.from_json(line) for line in open(sys.argv[1])], out=sys.argv[2])
"""


@pytest.mark.ray
def test_a_killed_launch_continues_to_each_run_exactly_once(ray_runtime, tmp_path):
    out, specs = tmp_path / "out", grid(range(8), train_set="full", num_steps=20)
    (tmp_path / "specs").write_text("\n".join(spec.to_json() for spec in specs))
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(tmp_path / "specs"), str(out)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 100
        while not list(out.glob("runs/*.parquet")):
            assert driver.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = Ledger(str(out)).finished()
    assert before and len(before) < len(specs)
    summary = launch.run_grid(specs, out=str(out))
    assert (summary.done, summary.missing) == (8, 0)
    assert sorted(row["run_id"] for row in Ledger(str(out)).runs().to_pylist()) == sorted(s.run_id for s in specs)
    assert not list(out.rglob(".tmp-*"))
