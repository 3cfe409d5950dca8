"""One driver per ledger: a second `study run` on the same --out is refused while the first one lives.

Two drivers would lose no row and double none, whatever happens: commits see to that. But each would train everything.
A driver that died is replaced at once from its own machine, and after two minutes without a sign of life from another,
so that a job which a cluster starts again elsewhere waits instead of failing.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from study.errors import UserError, place
from study.lease import EXPIRES_SECONDS, Holder, Lease
from study.storage import Storage

_NAME = "driver"
_LOOK_SECONDS = 1.0

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def sole_driver(storage: Storage, lease: Lease | None = None) -> Iterator[None]:
    """Hold the lock of a ledger's drivers.

    Losing it later, to somebody who removed its file, stops nothing: results are safe, work may be done twice.

    Args:
        storage: of the ledger, which has been prepared.
        lease: for tests; that of drivers by default.

    Raises:
        UserError: another driver lives.
        StorageError: the place fails.
    """
    lease = lease or Lease(storage, _NAME)
    first: Holder | None = None
    while not lease.try_acquire():
        holder = lease.holder()
        if holder is not None:
            if holder.is_seen_alive() or (first is not None and holder != first):
                raise _refusal(storage, holder)
            if first is None:
                first = holder
                waiting = "a driver on %s (process %d) may have died: waiting up to %.0f s for a sign of life"
                _logger.warning(waiting, holder.host, holder.pid, EXPIRES_SECONDS)
        time.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        lease.release()


def _refusal(storage: Storage, holder: Holder) -> UserError:
    who = f"process {holder.pid} on {holder.host}, since {holder.since}"
    files = f"{place(storage.uri)}/leases/{_NAME}.*"
    return UserError(
        f"another driver runs this ledger: {who}; wait for it or stop it, then repeat (to overrule it: remove {files})"
    )
