"""A cluster that changes under a grid: the machine that joins gets work, the one that goes takes no result with it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

from study import trainable
from study.launch import run_grid
from study.ledger import Ledger
from study.measurements import Finished
from study.spec import RunSpec
from study.trainable import StudyTrial

NUM_FIRST, NUM_RUNS = 4, 6
PATIENCE_SECONDS = 150


def grid() -> list[RunSpec]:
    """Runs that train everything, so that each is alone in its pack; the first come first."""
    args = {"num_valid_examples": 16, "num_test_examples": 16}
    common = {"task": "bit-xor", "task_args": args, "size": "nano", "num_layers": 1, "init": "random"}
    return [RunSpec(**common, train_set="full", num_steps=2, eval_every_steps=2, seed=seed) for seed in range(NUM_RUNS)]


def trial(meeting: Path) -> type[StudyTrial]:
    """Trials that wait for each other by files in a folder; the class travels by value.

    The first runs end when two nodes are at work. Of the others one stays on the oldest node until that is gone.
    """

    class MeetingEngine:
        step = 0

        def __init__(self, runs, **_) -> None:
            (self.run,) = runs

        def rounds(self):
            here = meeting / f"node-{ray.get_runtime_context().get_node_id()}"
            if not here.exists():
                here.touch()
            until = time.monotonic() + PATIENCE_SECONDS
            while not self.may_end(here):
                if time.monotonic() > until:
                    raise RuntimeError("no other node came")
                yield []
                time.sleep(0.05)
            yield [Finished(self.run.run_id, "done", 0, 2, *[0.5, 0.7] * 3, 0.5, 10, 5, 1.0, 0.0)]

        def may_end(self, here: Path) -> bool:
            nodes = sorted(meeting.glob("node-*"), key=lambda path: path.stat().st_ctime_ns)
            if self.run.seed < NUM_FIRST:
                return len(nodes) > 1
            if here == nodes[0]:
                (meeting / "held").touch()
                return False
            return (meeting / "held").exists()

    class MeetingTrial(StudyTrial):
        make_engine = MeetingEngine

    return MeetingTrial


def wait_for(condition, driver: subprocess.Popen) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert driver.poll() is None and time.monotonic() < until, f"the driver: {driver.poll()}"
        time.sleep(0.1)


@pytest.mark.ray
@pytest.mark.timeout(4 * PATIENCE_SECONDS)
def test_a_node_that_joins_is_used_and_one_that_goes_takes_no_result_with_it(tmp_path):
    from ray.cluster_utils import Cluster

    out, meeting = str(tmp_path / "out"), tmp_path / "meeting"
    meeting.mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    driver = None
    try:
        oldest = cluster.add_node(num_cpus=1)
        driver = subprocess.Popen([sys.executable, __file__, out, cluster.address, str(meeting)])
        wait_for(lambda: list(meeting.glob("node-*")), driver)
        assert Ledger(out).finished() == {}
        cluster.add_node(num_cpus=1)
        wait_for((meeting / "held").exists, driver)
        before = {row["run_id"]: row["attempt"] for row in Ledger(out).runs().to_pylist()}
        assert len(before) >= NUM_FIRST - 1
        cluster.remove_node(oldest, allow_graceful=False)
        assert driver.wait(PATIENCE_SECONDS) == 0
    finally:
        if driver is not None:
            driver.kill()
            driver.wait()
        cluster.shutdown()
    rows = {row["run_id"]: row for row in Ledger(out).runs().to_pylist()}
    assert rows.keys() == {run.run_id for run in grid()} and {row["status"] for row in rows.values()} == {"done"}
    assert before.items() <= {run_id: row["attempt"] for run_id, row in rows.items()}.items()
    assert len(list(meeting.glob("node-*"))) == 2


if __name__ == "__main__":
    trainable.StudyTrial = trial(Path(sys.argv[3]))
    run_grid(grid(), out=sys.argv[1], address=sys.argv[2])
