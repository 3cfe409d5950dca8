"""A short version of benchmarks/faults.py: a worker, a node and the driver die under one grid."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "faults.py"


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_each_run_ends_once_and_as_undisturbed_whatever_is_killed(tmp_path):
    """Exactly once, equal values and nothing left behind are asserted by the benchmark itself."""
    # With this seed the worker is the last to be killed: half of the runs are still to be done then.
    command = [sys.executable, str(BENCHMARK), "--kills", "3", "--runs", "12", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"kills"')))
    assert found["kills"] == {"driver": 1, "raylet": 1, "worker": 1} and found["starts"] == 2
    assert found["added"] == found["used"] == 1
