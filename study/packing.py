"""Which runs are trained together as one batched model: one pack is one Ray Tune trial and one part of the ledger."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from models import Group
from study.spec import RunSpec, canonical_json

# What the runs of a pack may differ in; everything else shapes the batched model or its batches.
VARYING = frozenset(
    {
        "seed", "body_seed", "init", "lr", "weight_decay", "warmup_steps", "schedule", "clip_norm", "orthogonal_gain",
        "num_steps",
    }
)  # fmt: skip
_BODY = ("init", "body_seed")
Device = Literal["cpu", "cuda"]
MAX_SIZE: dict[Device, int] = {"cpu": 8, "cuda": 32}
"""Beyond these a pack gains nothing more: on a CPU the caches, on a GPU the memory fill up."""


@dataclass(frozen=True)
class Pack:
    """Runs that are trained together, in the order of the grid.

    Attributes:
        runs: at least one; they differ in the fields `VARYING` only.
        pack_id: hash of their run ids, so that the same runs make the same pack on every machine.
    """

    runs: tuple[RunSpec, ...]
    pack_id: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        assert len({_key(run, ()) for run in self.runs}) == 1, "runs of different shapes in one pack"
        ids = "\n".join(sorted(run.run_id for run in self.runs))
        object.__setattr__(self, "pack_id", hashlib.sha256(ids.encode()).hexdigest()[:16])


def make_packs(runs: Iterable[RunSpec], *, device: Device, max_size: int | None = None) -> list[Pack]:
    """Pack every run once, in the order in which its pack's first run comes.

    On a CPU runs with different bodies are not mixed, since each body then costs its own matrix products, and runs
    that train attention or feed-forward layers stay alone: packing them gained nothing where it was measured.

    Args:
        runs: different runs, each once.
        device: kind of device that will train them.
        max_size: most runs in a pack; by default 8 on a CPU and 32 on a GPU.
    """
    limit = MAX_SIZE[device] if max_size is None else max_size
    assert limit >= 1
    same_key: dict[str, list[RunSpec]] = {}
    for run in runs:
        same_key.setdefault(_key(run, _BODY if device == "cpu" else ()), []).append(run)
    packs = []
    for members in same_key.values():
        # Runs of equal length side by side: a pack is as long as its longest run.
        ordered = sorted(members, key=lambda run: run.num_steps)
        size = 1 if device == "cpu" and _trains_body(ordered[0]) else limit
        packs += [Pack(tuple(ordered[start : start + size])) for start in range(0, len(ordered), size)]
    return packs


def _key(run: RunSpec, fixed: tuple[str, ...]) -> str:
    """What runs of one pack agree on, as text."""
    columns = run.as_columns()
    if run.has_checkpoint:
        fixed = (*fixed, "init")  # the shapes are the checkpoint's
    return canonical_json({name: value for name, value in columns.items() if name not in VARYING or name in fixed})


def _trains_body(run: RunSpec) -> bool:
    return not {Group.ATTENTION, Group.FEEDFORWARD}.isdisjoint(run.groups)
