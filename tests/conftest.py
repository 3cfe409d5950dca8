"""For every test: one thread per process, because test processes and Ray's workers share the machine's cores.

Two processes may share the tests (`pytest -n 2 --dist loadscope`). Each file stays whole, so that what its tests share
is made once; the files that use the shared Ray runtime go to one process, so that only one is started, and those that
start runtimes of their own follow each other.
"""

import os
from functools import cache
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
_CHAINS = ("runtimes of their own", "the shared runtime")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Say which tests belong to one process.

    xdist's own marks for that change the names of tests, which pytest 9.2 no longer lets them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(config.rootpath / nodeid.partition("::")[0])

    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """The two long chains first, or at the end one process would wait for the other: see --no-loadscope-reorder."""
    items.sort(key=lambda item: _CHAINS.index(group) if (group := _group(item.path)) in _CHAINS else len(_CHAINS))


@cache
def _group(path: Path) -> str:
    text = path.read_text()
    if "ray_runtime" in text:
        return _CHAINS[1]
    return _CHAINS[0] if "pytest.mark.ray" in text else str(path)
