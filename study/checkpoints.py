"""States of packs that are being trained, beside the ledger, so that any worker of any cluster can continue them.

OUT/checkpoints/<pack id>.json          the runs of the pack
OUT/checkpoints/<pack id>.safetensors   its state: trained tensors, optimizer, generators, step, measurements so far

Both are removed when the pack's rows are committed. A pack that is over before one is due never has any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from study.errors import StorageError
from study.packing import Pack, pack_id_of
from study.state_file import StateFile
from study.storage import Storage

PERIOD_SECONDS = 60.0
"""Work that a lost worker loses at most, where writing a state is quick."""
_FOLDER = "checkpoints"


class Checkpoint(StateFile):
    """The state of one pack in the store.

    Args:
        pack: whose state.
        storage: of the ledger.
        stamp: what must be the same for a state to be continued.
        period_seconds: between two states, if writing one takes less than 2 % of that.
    """

    def __init__(self, pack: Pack, *, storage: Storage, stamp: Mapping[str, Any], period_seconds: float) -> None:
        super().__init__(
            storage,
            _state(pack.pack_id),
            what=f"pack {pack.pack_id}",
            stamp={**stamp, "pack_id": pack.pack_id},
            period_seconds=period_seconds,
        )
        self._pack = pack
        self._is_listed = False

    def load(self) -> dict[str, Any] | None:
        """The state that an earlier worker left; None where there is none, or none that can be continued.

        Raises:
            StorageError: the place fails.
        """
        state = super().load()
        self._is_listed = state is not None
        return state

    def _write(self, data: bytes) -> None:
        if not self._is_listed:
            ids = json.dumps([run.run_id for run in self._pack.runs])
            self._storage.commit(_runs(self._pack.pack_id), ids.encode())
            self._is_listed = True
        super()._write(data)

    def remove(self) -> None:
        """Forget the pack, if it was known.

        Raises:
            StorageError: the place fails.
        """
        if self._is_listed:
            remove(self._storage, self._pack.pack_id)
            self._is_listed = False


def unfinished(storage: Storage) -> dict[str, list[str]]:
    """Run ids of every pack of which there may be a state, in the order of its runs, by pack id."""
    found = {}
    for name in storage.names(_FOLDER):
        try:
            ids = json.loads(storage.read(f"{_FOLDER}/{name}")) if name.endswith(".json") else None
        except StorageError:
            raise
        except (OSError, ValueError):
            continue
        # What is no list of this pack's runs says nothing of them.
        if isinstance(ids, list) and pack_id_of(map(str, ids)) == name.removesuffix(".json"):
            found[name.removesuffix(".json")] = ids
    return found


def remove(storage: Storage, pack_id: str) -> None:
    """Forget a pack; the state goes first, since the list of runs is what tells of it."""
    storage.remove(_state(pack_id))
    storage.remove(_runs(pack_id))


def _state(pack_id: str) -> str:
    return f"{_FOLDER}/{pack_id}.safetensors"


def _runs(pack_id: str) -> str:
    return f"{_FOLDER}/{pack_id}.json"
