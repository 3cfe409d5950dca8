"""For every test: one thread per process, because test processes and Ray's workers share the machine's cores.

Two processes may share the tests (`pytest -n 2 --dist loadgroup`): one of them takes all that need a Ray runtime, so
that only one is started, and each other file stays whole, so that what its tests share is made once.
"""

import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Say which tests belong to one process."""
    for item in items:
        name = "ray" if item.get_closest_marker("ray") else item.path.name
        item.add_marker(pytest.mark.xdist_group(name))
