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
