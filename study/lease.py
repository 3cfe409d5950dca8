"""Leases: one of several processes that want the same work does it; the others wait, or take over from a dead one.

leases/<name>.<number>   who holds it: the highest number counts, and each new holder takes the next one

A number is taken by a commit, which only the first of several writers wins. The holder's heart beats in a thread: its
file is replaced every few seconds. A lease is free again when its file is removed, when its process is gone (which only
processes of the same machine can see), or when whoever wants it has seen no beat for two minutes by its own clock, so
that clocks need not agree.

A lease saves work from being done twice. Nothing may depend on it for being right: a holder that was suspended for
longer than that is not stopped, and in an object store, which has no exclusive write, two may hold one lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from study.errors import StorageError
from study.processes import is_alive, machine, process_started
from study.storage import Storage

EXPIRES_SECONDS = 120.0
BEAT_SECONDS = 20.0
_FOLDER = "leases"


@dataclass(frozen=True)
class Holder:
    """Whoever holds a lease.

    Attributes:
        token: of this holding alone.
        host: name of its machine.
        machine: as `processes.machine` says.
        pid: its process there.
        process_started: when that process started, in the machine's own ticks; None where the system does not say.
        since: when it took the lease (UTC, ISO 8601).
        num_beats: of its heart.
    """

    token: str
    host: str
    machine: str
    pid: int
    process_started: int | None
    since: str
    num_beats: int = 0

    def is_gone(self) -> bool:
        """Whether its process is known to have ended."""
        if self.machine != machine():
            return False
        return not is_alive(self.pid) or process_started(self.pid) != self.process_started

    def is_seen_alive(self) -> bool:
        """Whether its process is known to live, which is known on its own machine only."""
        return self.machine == machine() and not self.is_gone()


class Lease:
    """One process's share in a lease; used by one thread.

    Args:
        storage: where it lies.
        name: of the work; letters, digits and "-".
        expires_seconds: without a beat, after which a holder counts as dead.
        beat_seconds: between two beats.

    Raises:
        study.errors.StorageError: from every method but `release`, where the place fails.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        *,
        expires_seconds: float = EXPIRES_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        assert "." not in name and "/" not in name
        self._storage, self._name = storage, name
        self._expires_seconds, self._beat_seconds = expires_seconds, beat_seconds
        self._seen: tuple[int, bytes] | None = None
        self._seen_at = 0.0
        self._held: _Heart | None = None

    def try_acquire(self) -> bool:
        """Take the lease if it is free; to be asked again and again by one object, which counts the missing beats."""
        assert self._held is None, "held already"
        numbers = self._numbers()
        if numbers and not self._is_free(numbers[-1]):
            return False
        number = numbers[-1] + 1 if numbers else 1
        holder = _this_process()
        if not self._storage.commit(self._path(number), _document(holder)) or self._read(number) != holder:
            return False
        self._held = _Heart(self._storage, self._path(number), holder, self._beat_seconds)
        with contextlib.suppress(OSError):  # lower numbers do not count
            for old in numbers:
                self._storage.remove(self._path(old))
        return True

    def holder(self) -> Holder | None:
        """Who holds the lease; None where nobody does, or where its file says nothing."""
        numbers = self._numbers()
        return self._read(numbers[-1]) if numbers else None

    def release(self) -> None:
        """Give the lease back; nothing happens where it is not held."""
        if self._held is not None:
            self._held.stop()
            self._held = None

    def _is_free(self, number: int) -> bool:
        now = time.monotonic()  # before the file is read: whoever is stopped in between has not seen it grow old
        try:
            data = _read(self._storage, self._path(number))
        except FileNotFoundError:
            return True
        if self._seen != (number, data):
            self._seen, self._seen_at = (number, data), now
        holder = _parsed(data)
        return (holder is not None and holder.is_gone()) or now - self._seen_at > self._expires_seconds

    def _numbers(self) -> list[int]:
        names = (name.rpartition(".") for name in self._storage.names(_FOLDER))
        numbers = (number for name, _, number in names if name == self._name)
        return sorted(int(number) for number in numbers if number.isascii() and number.isdigit())

    def _path(self, number: int) -> str:
        return f"{_FOLDER}/{self._name}.{number}"

    def _read(self, number: int) -> Holder | None:
        try:
            return _parsed(_read(self._storage, self._path(number)))
        except FileNotFoundError:
            return None


class _Heart:
    """Replaces the holder's file every few seconds, in a thread, until it is stopped or finds another's file there."""

    def __init__(self, storage: Storage, path: str, holder: Holder, beat_seconds: float) -> None:
        self._storage, self._path, self._holder, self._beat_seconds = storage, path, holder, beat_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heart of {path}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and remove the file, unless it has become another's."""
        self._stopped.set()
        self._thread.join()
        # What cannot be removed expires.
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._storage.remove(self._path)

    def _beat(self) -> None:
        num_beats = 0
        while not self._stopped.wait(self._beat_seconds):
            num_beats += 1
            # A beat that is lost costs nothing, many of them the lease.
            with contextlib.suppress(OSError):
                if not self._is_ours():
                    return
                self._storage.replace(self._path, _document(Holder(**{**asdict(self._holder), "num_beats": num_beats})))

    def _is_ours(self) -> bool:
        try:
            there = _parsed(_read(self._storage, self._path))
        except FileNotFoundError:
            return False  # whoever took the lease over removes the files before its own
        return there is not None and there.token == self._holder.token


def _read(storage: Storage, path: str) -> bytes:
    """A lease's file; empty where it is unreadable, which counts as damaged.

    Raises:
        FileNotFoundError: there is none.
        StorageError: the place fails.
    """
    try:
        return storage.read(path)
    except (FileNotFoundError, StorageError):
        raise
    except OSError:
        return b""


def _document(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _parsed(data: bytes) -> Holder | None:
    """None where the file says something else, as a damaged one does; it then has to expire."""
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None


def _this_process() -> Holder:
    return Holder(
        token=uuid.uuid4().hex,
        host=socket.gethostname(),
        machine=machine(),
        pid=os.getpid(),
        process_started=process_started(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )
