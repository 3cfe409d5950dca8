"""Ctrl-C and SIGTERM as a request that is looked at when there is time; a second one is not patient."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code, as shells give it to what Ctrl-C ended."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_SECONDS = 1.0
_NUM_LOOKS = 5
"""So often in a row what the work needs must be gone before the process gives up."""


@contextmanager
def terminable() -> Iterator[None]:
    """During the block SIGTERM is what Ctrl-C is: a KeyboardInterrupt."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """What is called in the block may handle signals in its own way; those that we handle are ours again after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not signal.SIG_DFL:  # with nothing of ours to come back to, whoever is called knows better
                signal.signal(number, handler)


class Interruption:
    """Whether this process was asked to stop.

    Args:
        is_gone: says, asked from another thread, that what the work runs on is no more. A scheduler that ends a job
            tells all its processes at once, and a library that waits for a dead one never sees the request.

    Attributes:
        has_come: it was.
    """

    def __init__(self, is_gone: Callable[[], bool] | None = None) -> None:
        self.has_come = False
        self._is_gone = is_gone
        self._is_over = threading.Event()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """During the block the first signal is only remembered; the second one does what it would do otherwise.

        Python hands signals to the main thread only, so elsewhere nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def remember(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.has_come = True
            restore()
            if self._is_gone is not None:
                threading.Thread(target=self._watch, args=[self._is_gone], name="interruption", daemon=True).start()

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in _SIGNALS:
            signal.signal(number, remember)
        try:
            yield
        finally:
            self._is_over.set()
            restore()

    def _watch(self, is_gone: Callable[[], bool]) -> None:
        num_gone = 0
        while num_gone < _NUM_LOOKS:
            if self._is_over.wait(_LOOK_SECONDS):
                return
            num_gone = num_gone + 1 if is_gone() else 0
        os.write(2, b"study: interrupted, and Ray is gone; what ended is kept; the same command continues\n")
        os._exit(INTERRUPTED)
