"""A request to stop is remembered, unless what the work waits for is dead: then the process ends by itself."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from study import interruption
from study.cluster import is_gone
from study.interruption import Interruption

# Sleeping stands for a library that waits for an answer from a dead process: the request does not end it.
_STUCK = """
import os, signal, time
from study import interruption

interruption._LOOK_SECONDS = 0.05
looks = iter([True] * 4 + [False] + [True] * 100)
with interruption.Interruption(is_gone=lambda: next(looks)).caught():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
print("not reached")
"""


def test_a_process_that_waits_for_the_dead_says_so_and_ends() -> None:
    done = subprocess.run([sys.executable, "-c", _STUCK], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (interruption.INTERRUPTED, "")
    assert done.stderr == "study: interrupted, and Ray is gone; what ended is kept; the same command continues\n"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As in a terminal; a process in the background may have been told to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_request_is_remembered_and_the_second_one_obeyed(interruptible: None) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    asked = Interruption(is_gone=lambda: False)
    with pytest.raises(KeyboardInterrupt), asked.caught():
        assert not asked.has_come
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.has_come and signal.getsignal(signal.SIGTERM) is handler
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_head_is_there_as_long_as_its_port_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not is_gone(address)
    assert is_gone(address)
