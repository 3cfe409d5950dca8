"""One training state in the store: replaced now and then while the work goes on, so that any worker can continue it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from study.errors import StorageError, one_line
from study.snapshot import BadSnapshot, from_bytes, to_bytes
from study.storage import Storage

_MAX_SHARE = 0.02
"""Share of the time that may go into writing states, from the second one on."""
BAD_STATE = (LookupError, TypeError, ValueError, RuntimeError, AssertionError)
"""What a state of another layout raises where it is continued; RuntimeError is torch's for shapes."""
LEAST_SECONDS = 5.0
"""Less work than this is not worth a state when a trial is stopped."""

_logger = logging.getLogger(__name__)


class StateFile:
    """Where the state of one piece of work lies.

    Args:
        storage: of the ledger.
        path: of the file.
        what: whose state, for warnings.
        stamp: what must be the same for a state to be continued.
        period_seconds: between two states, if writing one takes less than 2 % of that.
    """

    def __init__(
        self, storage: Storage, path: str, *, what: str, stamp: Mapping[str, Any], period_seconds: float
    ) -> None:
        self._storage, self._path, self._what, self._stamp = storage, path, what, stamp
        self._least_period = self._period = period_seconds
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last state is old enough for a new one."""
        return self.age_seconds >= self._period

    @property
    def age_seconds(self) -> float:
        """Of the last state, or of this object while there is none: what a crash would lose now."""
        return time.monotonic() - self._last

    def load(self) -> dict[str, Any] | None:
        """The state that an earlier worker left; None where there is none, or none that can be continued.

        Raises:
            StorageError: the place fails.
        """
        try:
            return from_bytes(self._storage.read(self._path), self._stamp)
        except FileNotFoundError:
            return None
        except StorageError:
            raise
        except (BadSnapshot, OSError) as error:
            self.set_aside(one_line(error))
            return None

    def set_aside(self, reason: str) -> None:
        """Warn of a state that cannot be continued and move it out of the way.

        Raises:
            StorageError: the place fails.
        """
        target = f"quarantine/{self._path}-{uuid.uuid4().hex[:8]}"
        _logger.warning("%s starts anew, its state is set aside as %s: %s", self._what, target, reason)
        try:
            self._storage.move(self._path, target)
        except FileNotFoundError:
            return  # another worker was faster

    def save(self, state: Mapping[str, Any]) -> None:
        """Put a state in the place of the last one; where it cannot be written the last one stays, with a warning."""
        started = time.monotonic()
        try:
            self._write(to_bytes(state, self._stamp))
        except (StorageError, MemoryError) as error:
            _logger.warning("no new state of %s: %s", self._what, one_line(error))
        self._last = time.monotonic()
        self._period = max(self._least_period, (self._last - started) / _MAX_SHARE)

    def _write(self, data: bytes) -> None:
        self._storage.replace(self._path, data)

    def remove(self) -> None:
        """Forget the state.

        Raises:
            StorageError: the place fails.
        """
        self._storage.remove(self._path)
