"""Ctrl-C and SIGTERM as a request that is looked at when there is time; a second one is not patient."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether this process was asked to stop.

    Attributes:
        has_come: it was.
    """

    def __init__(self) -> None:
        self.has_come = False

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

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        for number in _SIGNALS:
            signal.signal(number, remember)
        try:
            yield
        finally:
            restore()
