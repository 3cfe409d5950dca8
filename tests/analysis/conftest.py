import importlib.util
from pathlib import Path

import pytest


def _module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_synthetic, _cards, _ladders = _module("synthetic"), _module("synthetic_cards"), _module("synthetic_ladders")


@pytest.fixture(scope="session")
def synthetic():
    """The functions that write ledgers with known contents."""
    return _synthetic


@pytest.fixture(scope="session")
def synthetic_cards():
    """The functions that write cards of bodies with known contents."""
    return _cards


@pytest.fixture(scope="session")
def ladders(synthetic):
    """The module with runs of the small ladders, with known laws."""
    _ladders.make_run = synthetic.run
    return _ladders


@pytest.fixture(scope="session")
def study_ledger(synthetic, tmp_path_factory):
    """A ledger as a real study leaves it: complete but for a diverged, a failed and three missing runs."""
    return synthetic.study(tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="session")
def claim_studies():
    """Rows with known answers for every claim, as in benchmarks/claims.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield importlib.import_module("claim_studies")
