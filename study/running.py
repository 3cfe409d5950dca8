"""What a driver tells of its work while it lasts, in OUT/running/<launch>.json, for whoever asks from elsewhere.

A clean end takes the file away; one that stays and grows old says that its driver died.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from study.errors import StorageError, one_line
from study.processes import is_alive, machine, process_started
from study.storage import Storage

FOLDER = "running"
PERIOD_SECONDS = 15.0
FRESH_SECONDS = 120.0
"""A driver that was silent for longer is taken for dead: eight periods, since object stores are slow at times."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Driver:
    """A driver as it last told of itself.

    Attributes:
        host, pid: where it runs.
        is_gone: its process has ended, which only its own machine can know.
        seconds_ago: since it told.
        state: `progress.Board.snapshot`, or part of it where another version wrote it.
    """

    host: str
    pid: int
    is_gone: bool
    seconds_ago: float
    state: dict[str, Any]

    @property
    def is_alive(self) -> bool:
        """It told not long ago, and its process is not known to have ended."""
        return self.seconds_ago < FRESH_SECONDS and not self.is_gone


@contextlib.contextmanager
def told(storage: Storage, snapshot: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Tell how the work stands during the block, every few seconds; a place that fails stops nothing.

    Args:
        storage: of the ledger.
        snapshot: how the work stands, of plain JSON values; called in a thread of its own.
    """
    path = f"{FOLDER}/{uuid.uuid4().hex[:12]}.json"
    ended = threading.Event()

    def keep_telling() -> None:
        while True:
            try:
                storage.replace(path, _document(snapshot()))
            except StorageError as error:
                _logger.warning("progress not told: %s", one_line(error))
            if ended.wait(PERIOD_SECONDS):
                return

    with contextlib.suppress(StorageError):
        _remove_dead(storage)
    thread = threading.Thread(target=keep_telling, name="running", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(StorageError):
            storage.remove(path)


def drivers(storage: Storage) -> list[Driver]:
    """Every driver that told of itself and took no leave, the one heard last first."""
    found = [driver for name in storage.names(FOLDER) if (driver := _read(storage, name)) is not None]
    return sorted(found, key=lambda driver: driver.seconds_ago)


def _document(state: dict[str, Any]) -> bytes:
    process = {"machine": machine(), "pid": os.getpid(), "process_started": process_started(os.getpid())}
    who = {"host": socket.gethostname(), **process, "told_at": dt.datetime.now(dt.UTC).isoformat()}
    return json.dumps({**who, "state": state}, allow_nan=False).encode()


def _read(storage: Storage, name: str) -> Driver | None:
    """None for a file that has gone meanwhile, or that none of us wrote."""
    try:
        document = json.loads(storage.read(f"{FOLDER}/{name}"))
        told_at = dt.datetime.fromisoformat(document["told_at"])
        return Driver(
            host=str(document["host"]),
            pid=int(document["pid"]),
            is_gone=_is_gone(document["machine"], int(document["pid"]), document["process_started"]),
            seconds_ago=max(0.0, (dt.datetime.now(dt.UTC) - told_at).total_seconds()),
            state=dict(document["state"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_gone(where: str, pid: int, started: int | None) -> bool:
    return where == machine() and not (is_alive(pid) and process_started(pid) == started)


def _remove_dead(storage: Storage) -> None:
    for name in storage.names(FOLDER):
        driver = _read(storage, name)
        if driver is not None and not driver.is_alive:
            storage.remove(f"{FOLDER}/{name}")
