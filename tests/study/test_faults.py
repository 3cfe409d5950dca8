import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ray import cloudpickle

from study import execution, launch, rounds, trainable
from study.errors import StorageFull, UserError
from study.execution import Execution
from study.ledger import Ledger
from study.origin import Origin
from study.packing import Pack
from study.progress import Board
from study.spec import RunSpec
from study.tally import Tally
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


class DyingBetweenTrial(StudyTrial):
    """Is killed once, when its first trial is done and the next has not begun."""

    def reset_config(self, new_config):
        marker = Path(self._job.out, ".killed")
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reset_config(new_config)


@pytest.mark.ray
def test_a_worker_that_is_killed_between_two_trials_costs_neither(ray_runtime, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(trainable, "StudyTrial", DyingBetweenTrial)
    summary = launch.run_grid(grid(range(4), train_set="full"), out=str(out))
    assert (out / ".killed").exists() and (summary.done, summary.failed, summary.missing) == (4, 0, 0)


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


class OnceDeadlyTrial(StudyTrial):
    """Kills its own process when its first state is written."""

    def step(self):
        marker = Path(self._job.out).parent / "killed"
        while not marker.exists():
            next(self._work)  # a quick machine would be done before a step is over
            if list(Path(self._job.out).glob("checkpoints/*.safetensors")):
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


@pytest.mark.ray
def test_a_worker_that_is_killed_in_the_middle_costs_no_result(ray_runtime, tmp_path, monkeypatch):
    """The pack goes on from its state, and its rows are those of a launch that nothing happened to."""
    specs = [*grid((0,), num_steps=60, eval_every_steps=20), *grid((1,), num_steps=90, eval_every_steps=20)]
    monkeypatch.setattr(trainable, "StudyTrial", OnceDeadlyTrial)
    summary = launch.run_grid(specs, out=str(tmp_path / "out"), checkpoint_seconds=0.0)
    assert (tmp_path / "killed").exists() and (summary.done, summary.packs) == (2, 1)
    whole = Ledger(str(tmp_path / "whole"))
    whole.prepare()
    origin = Origin(revision=None, device=torch.device("cpu"))
    for _ in Execution(Pack(tuple(specs)), ledger=whole, origin=origin).steps():
        pass
    assert measured(Ledger(str(tmp_path / "out"))) == measured(whole)
    assert not list((tmp_path / "out" / "checkpoints").iterdir())


TIMES = ("wall_seconds", "examples_per_second", "started_at", "ended_at", "attempt", "git_revision")


def measured(ledger: Ledger) -> tuple[list, list]:
    tables = [ledger.runs(), ledger.curves()]
    runs, curves = [table.drop_columns([n for n in TIMES if n in table.column_names]).to_pylist() for table in tables]
    return runs, curves


class FullTrial(StudyTrial):
    """Whose ledger lies on a disk that is full."""

    def setup(self, config, job=None):
        super().setup(config, job)
        execution._COMMIT_PAUSES_SECONDS = (0.0,)
        commit = self._ledger.storage.commit

        def failing(path, data):
            if path.startswith("runs/"):
                raise StorageFull(f"no room to write '{path}'; make room and repeat")
            return commit(path, data)

        self._ledger.storage.commit = failing


@pytest.mark.ray
def test_a_full_disk_ends_the_launch_in_one_line_and_the_next_one_goes_on(ray_runtime, tmp_path, monkeypatch):
    specs = grid((0, 1))
    with monkeypatch.context() as patch:
        patch.setattr(trainable, "StudyTrial", FullTrial)
        with pytest.raises(UserError, match="results cannot be written: no room to write 'runs/"):
            launch.run_grid(specs, out=str(tmp_path))
    assert Ledger(str(tmp_path)).finished() == {}
    assert launch.run_grid(specs, out=str(tmp_path)).done == 2


_DRIVER = """
import sys
from study.launch import run_grid
from study.spec import RunSpec
if __name__ == "__main__":
    specs = [RunSpec.from_json(line) for line in open(sys.argv[1])]
    run_grid(specs, out=sys.argv[2], address=sys.argv[3] if sys.argv[3:] else None, checkpoint_seconds=1.0)
"""


@pytest.mark.ray
def test_ctrl_c_keeps_what_was_done(ray_runtime, tmp_path):
    """Tried on a cluster that outlives the driver, where nothing else stops the workers."""
    out, specs = tmp_path / "out", grid((0,), num_steps=10**6, eval_every_steps=10**5)
    (tmp_path / "specs").write_text("\n".join(spec.to_json() for spec in specs))
    address = ray_runtime.get_runtime_context().gcs_address
    command = [sys.executable, "-c", _DRIVER, str(tmp_path / "specs"), str(out), address]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        until = time.monotonic() + 100
        while not (states := list(out.glob("checkpoints/*.safetensors"))):
            assert driver.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        state = states[0].stat()
        started = time.monotonic()
        driver.send_signal(signal.SIGINT)
        said = driver.communicate(timeout=60)[1]
    finally:
        driver.kill()
    assert "KeyboardInterrupt" in said and "stopping: trials keep what they did" in said
    assert states[0].stat().st_mtime_ns > state.st_mtime_ns
    assert not list(out.glob("leases/*")) and not list(out.rglob(".tmp-*"))
    assert time.monotonic() - started < 40


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
        until = time.monotonic() + 250
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
