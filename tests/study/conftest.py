"""What several tests share: rows with known contents, an empty ledger, and one Ray runtime, which starts slowly."""

import importlib.util
import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_runtime():
    """A private runtime with two processors, which launches find and use; its workers have no data sets."""
    import ray

    from study.cluster import ENVIRONMENT

    # Ray's sockets allow about a hundred characters of path, fewer than pytest's folders have.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=str(folder),
            object_store_memory=128 << 20, runtime_env={"env_vars": {"STUDY_DATA": str(folder / "no-data")}},
        )  # fmt: skip
        yield ray
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def made():
    """The functions that make rows and curves with known contents."""
    spec = importlib.util.spec_from_file_location("made", Path(__file__).with_name("made.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ledger(tmp_path):
    """A new ledger in a folder of its own."""
    from study.ledger import Ledger

    new = Ledger(str(tmp_path / "out"))
    new.prepare()
    return new


@pytest.fixture(scope="session")
def quick_body():
    """A body of ours that takes a second to make: Bit Memory at its smallest, with dropout."""
    import dataclasses

    from study.bodies import source_of
    from study.recipes import recipe_for

    recipe = recipe_for("bit-memory", body="gpt2", size="nano", num_steps=12)
    args = (("num_patterns", 1), ("num_bits", 8), ("patch_size", 8), ("num_valid_examples", 16))
    return source_of("bit-memory", dataclasses.replace(recipe, task_args=args, batch_size=2, dropout=0.1))


@pytest.fixture(scope="session")
def quick_body_ledger(quick_body, tmp_path_factory):
    """A ledger in which it was made by one thread without interruption."""
    import torch

    from study.body_execution import BodyExecution
    from study.ledger import Ledger

    ledger = Ledger(str(tmp_path_factory.mktemp("whole") / "out"))
    ledger.prepare()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    list(BodyExecution(quick_body, ledger=ledger, revision="abc", device=torch.device("cpu")).steps())
    torch.set_num_threads(threads)
    return ledger
