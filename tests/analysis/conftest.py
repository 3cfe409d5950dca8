import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("synthetic", Path(__file__).with_name("synthetic.py"))
_synthetic = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_synthetic)


@pytest.fixture(scope="session")
def synthetic():
    """The functions that write ledgers with known contents."""
    return _synthetic


@pytest.fixture(scope="session")
def study_ledger(synthetic, tmp_path_factory):
    """A ledger as a real study leaves it: complete but for a diverged, a failed and three missing runs."""
    return synthetic.study(tmp_path_factory.mktemp("study") / "out")
