"""The block of docs/cluster.md that starts a cluster of two nodes by hand, run to the letter on another port."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
_PORT = "26379"


def block() -> str:
    (section,) = re.findall(r"^## Two nodes by hand\n(.*?)^## ", (ROOT / "docs/cluster.md").read_text(), re.M | re.S)
    (found,) = re.findall(r"```sh\n(.*?)```", section, re.S)
    assert found.count(_PORT) == 3
    return found


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_the_commands_of_the_documentation(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # Processes of the cluster carry this in their environment, so that none can be overlooked below.
    environment = {**os.environ, "PATH": path, "STUDY_TWO_NODES": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-e", "-u", "-c", block().replace(_PORT, str(free_port()))],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    logs = "".join((tmp_path / name).read_text() for name in ("head.log", "second.log"))
    left = processes_with(f"STUDY_TWO_NODES={tmp_path}")
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert "2 of 2 runs" in done.stderr, done.stderr + logs
    status = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert (status["done"], status["missing"], status["failed"]) == (2, 0, 0)
    assert pq.read_table(tmp_path / "two-nodes" / "runs").num_rows == 2
    assert not left


def processes_with(variable: str) -> list[int]:
    """Ids of processes that have this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or another user's
        if variable.encode() in variables:
            found.append(int(path.parent.name))
    return found
