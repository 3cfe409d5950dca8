"""Two drivers on one ledger: the second is refused while the first lives, and takes over as soon as it is dead."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from study import driver_lock
from study.driver_lock import sole_driver
from study.errors import UserError
from study.lease import Holder, Lease
from study.storage import open_storage

DRIVER = """
import sys, time
from study.driver_lock import sole_driver
from study.storage import open_storage
with sole_driver(open_storage(sys.argv[1])):
    print("driving", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def other(tmp_path: Path):
    """Another process that drives the ledger."""
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "driving\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_driver_is_refused_until_the_first_is_killed(other, tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    with pytest.raises(UserError, match=f"process {other.pid} on .*, since 20") as refusal, sole_driver(storage):
        raise AssertionError("two drivers")
    assert "\n" not in str(refusal.value) and f"remove {tmp_path}/leases/driver.*" in str(refusal.value)
    other.send_signal(signal.SIGKILL)
    other.wait()
    with sole_driver(storage):
        assert len(storage.names("leases")) == 1
    assert storage.names("leases") == []


def test_the_lock_is_free_after_a_driver_that_failed(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    with pytest.raises(RuntimeError), sole_driver(storage):
        raise RuntimeError
    with sole_driver(storage):
        pass


def elsewhere(tmp_path: Path, num_beats: int) -> None:
    """A lock that a process on another machine holds."""
    far = Holder(
        "token", host="far", machine="far", pid=1, process_started=None, since="2026-01-01", num_beats=num_beats
    )
    open_storage(str(tmp_path)).replace("leases/driver.1", json.dumps(dataclasses.asdict(far)).encode())


def test_a_driver_elsewhere_that_gives_no_sign_of_life_is_replaced(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(driver_lock, "_LOOK_SECONDS", 0.02)
    elsewhere(tmp_path, num_beats=0)
    storage = open_storage(str(tmp_path))
    with sole_driver(storage, Lease(storage, "driver", expires_seconds=0.1)):
        assert storage.names("leases") == ["driver.2"]
    assert "may have died" in caplog.text


def test_a_driver_elsewhere_is_respected_as_soon_as_its_heart_beats(tmp_path: Path, monkeypatch) -> None:
    beats = iter(range(1, 10))
    monkeypatch.setattr(driver_lock.time, "sleep", lambda seconds: elsewhere(tmp_path, num_beats=next(beats)))
    elsewhere(tmp_path, num_beats=0)
    with pytest.raises(UserError, match="on far"), sole_driver(open_storage(str(tmp_path))):
        raise AssertionError("two drivers")
