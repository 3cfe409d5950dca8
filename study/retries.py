"""What becomes of packs whose worker died: which runs are tried again, and in which company."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from study.errors import StorageError, StorageFull
from study.packing import Pack
from study.spec import RunSpec

NODE_LOSS = "the worker's machine went"
"""How the reason begins where a machine went, whatever ran on it."""
EARLY_LOSS = "the worker died before it began"
"""How the reason begins where a process died that had not begun with its work."""
_NO_FAULT = (NODE_LOSS, EARLY_LOSS, f"{StorageError.__name__}: ", f"{StorageFull.__name__}: ")


def adopted(todo: Sequence[RunSpec], unfinished: Mapping[str, Sequence[str]]) -> list[Pack]:
    """Packs of runs to be trained of which an earlier launch left a state: the same runs together continue it.

    Args:
        todo: the runs.
        unfinished: run ids by pack id (`study.checkpoints.unfinished`); of packs that overlap the first is taken.
    """
    specs = {run.run_id: run for run in todo}
    return [
        Pack(tuple(specs.pop(run_id) for run_id in ids))
        for ids in unfinished.values()
        if ids and specs.keys() >= set(ids)
    ]


def again(packs: Sequence[Pack], finished: Collection[str], errors: Mapping[str, str]) -> list[Pack]:
    """Packs for the next round.

    A pack that may have died of its size, or of one of its runs, is tried in halves, so that in the end the one that
    kills its worker takes no other along; one that is no fault is tried again as it was, and continues its state. A run
    that died alone is given up.

    Args:
        packs: of this round.
        finished: ids of the runs that have a row.
        errors: how the worker of a pack died, by pack id.
    """
    next_packs = []
    for pack in packs:
        lost = tuple(run for run in pack.runs if run.run_id not in finished)
        if not lost:
            continue
        if is_no_fault(errors.get(pack.pack_id, "")):
            next_packs.append(Pack(lost))
        elif len(pack.runs) > 1:
            size = (len(pack.runs) + 1) // 2
            next_packs += [Pack(lost[start : start + size]) for start in range(0, len(lost), size)]
    return next_packs


def is_no_fault(reason: str) -> bool:
    """Whether a worker was lost with its machine or before it began, or could not reach the ledger: nothing that a run
    could cause."""
    return reason.startswith(_NO_FAULT)
