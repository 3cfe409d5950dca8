"""Leases with real processes: one holds, the others wait, and the dead are succeeded."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow.fs
import pytest

from study import lease
from study.lease import Lease
from study.storage import Storage, open_storage
from study.storage_objects import ObjectStorage


@pytest.fixture
def storage(tmp_path) -> Storage:
    return open_storage(str(tmp_path / "out"))


@pytest.fixture(params=["folder", "object store"])
def any_storage(request, tmp_path) -> Storage:
    if request.param == "folder":
        return open_storage(str(tmp_path / "out"))
    return ObjectStorage("store://out", pyarrow.fs.LocalFileSystem(), str(tmp_path / "out"))


def _beating_on_another_machine(storage: Storage, **changes) -> None:
    """A lease whose holder this process cannot see."""
    other = dataclasses.replace(lease._this_process(), host="far", machine="far boot container", token="theirs")
    storage.commit("leases/work.1", json.dumps(dataclasses.asdict(dataclasses.replace(other, **changes))).encode())


def test_one_holds_and_the_next_comes_when_it_is_given_back(any_storage):
    first, second = Lease(any_storage, "work"), Lease(any_storage, "work")
    assert first.try_acquire() and not second.try_acquire()
    holder = second.holder()
    assert holder is not None and holder.pid == os.getpid()
    assert Lease(any_storage, "other").try_acquire()
    first.release()
    first.release()
    assert second.holder() is None
    assert second.try_acquire() and not first.try_acquire()
    second.release()


def test_of_many_that_want_it_at_the_same_moment_one_gets_it(storage):
    leases = [Lease(storage, "work") for _ in range(8)]
    barrier, got = threading.Barrier(len(leases)), []

    def want(wanted: Lease) -> None:
        barrier.wait()
        if wanted.try_acquire():
            got.append(wanted)

    threads = [threading.Thread(target=want, args=(wanted,)) for wanted in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    got[0].release()
    assert storage.names("leases") == []


_HOLD = """
import sys, time
from study.lease import Lease
from study.storage import open_storage
lease = Lease(open_storage(sys.argv[1]), "work", beat_seconds=0.02)
print(lease.try_acquire(), flush=True)
time.sleep(60)
"""


def test_a_killed_process_is_succeeded_at_once(storage):
    wanted = Lease(storage, "work")
    with subprocess.Popen([sys.executable, "-c", _HOLD, storage.uri], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "True\n"
            assert not wanted.try_acquire()
        finally:
            process.send_signal(signal.SIGKILL)
    assert wanted.try_acquire()
    assert storage.names("leases") == ["work.2"]
    wanted.release()


def test_another_process_with_the_number_of_a_dead_one_is_not_mistaken_for_it(storage):
    holder = lease._this_process()
    if holder.process_started is None:
        pytest.skip("this system does not say when a process started")
    assert not holder.is_gone()
    assert dataclasses.replace(holder, process_started=holder.process_started - 1).is_gone()


def test_a_silent_holder_elsewhere_expires_and_a_beating_one_does_not(any_storage):
    _beating_on_another_machine(any_storage)
    wanted = Lease(any_storage, "work", expires_seconds=0.3)
    until = time.monotonic() + 0.6
    beats = 0
    while time.monotonic() < until:
        beats += 1
        theirs = json.loads(any_storage.read("leases/work.1")) | {"num_beats": beats}
        any_storage.replace("leases/work.1", json.dumps(theirs).encode())
        assert not wanted.try_acquire()
        time.sleep(0.02)
    time.sleep(0.35)
    assert wanted.try_acquire()
    wanted.release()


def test_a_heart_beats_and_stops_before_anothers_file(storage):
    held = Lease(storage, "work", beat_seconds=0.01)
    assert held.try_acquire()
    until = time.monotonic() + 10
    while (holder := held.holder()) is None or holder.num_beats < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    theirs = dataclasses.replace(holder, token="theirs", num_beats=0)
    while held.holder() != theirs:  # a beat that was under way may come in between, once
        storage.replace("leases/work.1", json.dumps(dataclasses.asdict(theirs)).encode())
        time.sleep(0.1)
    time.sleep(0.1)
    assert held.holder() == theirs
    held.release()
    assert held.holder() == theirs


def test_a_damaged_file_is_waited_for_and_then_replaced(any_storage):
    any_storage.commit("leases/work.1", b"\xff not json")
    wanted = Lease(any_storage, "work", expires_seconds=0.05)
    assert wanted.holder() is None and not wanted.try_acquire()
    time.sleep(0.1)
    assert wanted.try_acquire()
    wanted.release()
