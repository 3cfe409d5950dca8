"""A short version of benchmarks/scale.py: hundreds of runs that train nothing cost little and leave few files."""

import importlib
import time
from pathlib import Path

import pytest
from ray import cloudpickle

from study import launch, status, trainable
from study.ledger import Ledger

NUM_RUNS = 400


@pytest.fixture
def scale(monkeypatch):
    """The benchmark; what of it a worker needs travels by value."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    module = importlib.import_module("scale")
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.ray
def test_hundreds_of_runs_cost_the_driver_little(ray_runtime, tmp_path, monkeypatch, scale):
    runs, out = scale.trivial()[:NUM_RUNS], str(tmp_path / "out")
    monkeypatch.setattr(trainable, "StudyTrial", scale.trial())
    before = time.process_time()
    summary = launch.run_grid(runs, out=out)
    assert (summary.done, summary.packs) == (NUM_RUNS, NUM_RUNS // 8)
    assert (time.process_time() - before) / NUM_RUNS < 0.03  # start-up included, which larger grids do not feel
    assert sum(path.is_file() for path in Path(out).rglob("*")) < 20

    before = time.process_time()
    assert status.answer("trivial", runs, Ledger(out)).document["done"] == NUM_RUNS
    assert launch.run_grid(runs, out=out).packs == 0
    assert time.process_time() - before < 2
