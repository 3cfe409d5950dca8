"""Which runs are trained together as one batched model: one pack is one Ray Tune trial and one part of the ledger."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models import WHOLE_OF, Group
from study.spec import RunSpec

# What the runs of a pack may differ in; everything else shapes the batched model or its batches.
VARYING = frozenset(
    {
        "seed", "body_seed", "init", "lr", "weight_decay", "warmup_steps", "schedule", "clip_norm", "orthogonal_gain",
        "num_steps",
    }
)  # fmt: skip
_SHARED = tuple(field.name for field in dataclasses.fields(RunSpec) if field.name not in VARYING)
_BODY = ("init", "body_seed")
Device = Literal["cpu", "cuda"]
MAX_SIZE: dict[Device, int] = {"cpu": 8, "cuda": 32}
"""Beyond these a pack gains nothing more: on a CPU the caches, on a GPU the memory fill up."""
_MAX_CPU_PAIRS = 1 << 18
"""Pairs of tokens in one batch of a pack on a CPU: beyond, the scores of attention leave the caches. Measured on nano
(benchmarks/throughput_nano.md): 10, 120 and 64 tokens gain up to K = 8, 8 and 4, and 512 tokens lose with K = 4."""
_MEMORY_SHARE = 0.8
"""Of the memory of a trial; the estimate of a pack is within a quarter, and libraries take some themselves."""
_CONTEXT_BYTES = 1 << 30
"""What a process takes on a GPU before it trains anything: CUDA's context, kernels, the allocator's blocks."""
_MAX_SHARING = 4
"""Trials on one GPU."""


@dataclass(frozen=True)
class Footprint:
    """What one run takes.

    Attributes:
        num_tokens: of an example.
        own_bytes: activations of a step, and five values per trained parameter: its value, the best one so far, its
            gradient and Adam's two.
        body_bytes: its body, which runs with the same body share.
    """

    num_tokens: int
    own_bytes: int
    body_bytes: int


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
        object.__setattr__(self, "pack_id", pack_id_of(run.run_id for run in self.runs))


def pack_id_of(run_ids: Iterable[str]) -> str:
    """First 16 hex digits of the SHA-256 of the run ids, in whatever order they come."""
    return hashlib.sha256("\n".join(sorted(run_ids)).encode()).hexdigest()[:16]


def make_packs(
    runs: Iterable[RunSpec],
    *,
    device: Device,
    footprints: Mapping[str, Footprint] | None = None,
    memory_bytes: float | None = None,
) -> list[Pack]:
    """Pack every run once, in the order in which its pack's first run comes.

    On a CPU runs with different bodies are not mixed, since each body then costs its own matrix products; runs that
    train attention or feed-forward layers stay alone, and long sequences too: packing them gained nothing where it was
    measured. Which runs share a pack changes their results by rounding only.

    Args:
        runs: different runs, each once.
        device: kind of device that will train them.
        footprints: what each run takes, by run id; without them neither memory nor length limits a pack.
        memory_bytes: of one trial: of its GPU, or its part of the host's; None where it is not known.
    """
    same_key: dict[tuple, list[RunSpec]] = {}
    for run in runs:
        same_key.setdefault(_key(run, _BODY if device == "cpu" else ()), []).append(run)
    packs = []
    for members in same_key.values():
        # Runs of equal length side by side: a pack is as long as its longest run.
        ordered = sorted(members, key=lambda run: run.num_steps)
        footprint = footprints[ordered[0].run_id] if footprints else None
        packs += _cut(ordered, _max_size(ordered[0], device, footprint), footprint, memory_bytes)
    return packs


def pack_bytes(runs: Sequence[RunSpec], footprint: Footprint) -> int:
    """Memory of a pack, by the estimate of `models.cost`; its runs share their shapes and so their footprint."""
    num_bodies = len({(run.init, run.body_seed) for run in runs})
    return len(runs) * footprint.own_bytes + num_bodies * footprint.body_bytes


def gpu_share(num_bytes: int, gpu_bytes: float | None) -> float:
    """Part of a GPU that a pack needs: 1, 1/2, 1/3 or 1/4, so that small packs, which cannot fill one, share it.

    Args:
        num_bytes: of the pack.
        gpu_bytes: of the smallest GPU; None where it is not known, and nothing is shared.
    """
    if gpu_bytes is None:
        return 1.0
    fitting = int(_MEMORY_SHARE * gpu_bytes // (num_bytes + _CONTEXT_BYTES))
    sharing = min(_MAX_SHARING, max(1, fitting))
    return 10_000 // sharing / 10_000  # Ray counts in ten thousandths


def _max_size(run: RunSpec, device: Device, footprint: Footprint | None) -> int:
    if device != "cpu":
        return MAX_SIZE[device]
    if not {Group.ATTENTION, Group.FEEDFORWARD}.isdisjoint(WHOLE_OF[name] for name in run.groups):
        return 1
    if footprint is None:
        return MAX_SIZE[device]
    return max(1, min(MAX_SIZE[device], _MAX_CPU_PAIRS // (run.batch_size * footprint.num_tokens**2)))


def _cut(
    runs: Sequence[RunSpec], max_size: int, footprint: Footprint | None, memory_bytes: float | None
) -> Iterator[Pack]:
    """Consecutive runs in packs that are as large as they may; a run that does not fit is tried alone."""
    chunk: list[RunSpec] = []
    for run in runs:
        is_full = len(chunk) == max_size
        if chunk and footprint is not None and memory_bytes is not None:
            is_full |= pack_bytes([*chunk, run], footprint) > _MEMORY_SHARE * memory_bytes
        if is_full:
            yield Pack(tuple(chunk))
            chunk = []
        chunk.append(run)
    yield Pack(tuple(chunk))


def _key(run: RunSpec, fixed: tuple[str, ...]) -> tuple:
    """What runs of one pack agree on."""
    if run.has_checkpoint:
        fixed = (*fixed, "init")  # the shapes are the checkpoint's
    return tuple(getattr(run, name) for name in (*_SHARED, *fixed))
