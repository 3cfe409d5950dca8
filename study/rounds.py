"""One round of work on a Ray cluster: bodies are made and packs trained, the longest first, until each has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from study.bodies import BodySource
from study.body_execution import MAX_THREADS
from study.capacity import Capacity, capacity
from study.checkpoints import PERIOD_SECONDS
from study.ledger import Ledger
from study.packing import Footprint, Pack, gpu_share, pack_bytes
from study.provenance import git_revision
from study.running import told

MAX_FAILURES = 2
"""Lost workers that a trial survives, each time from its start."""
_MAX_TRIALS = 2000
"""Trials of one Tune experiment: its state file grows by 10 kB each and is written whole, every few minutes."""


@dataclass(frozen=True)
class Launch:
    """What is known of the work before it is done.

    Attributes:
        ledger: where rows and bodies go.
        flops: run id -> operations, by which the longest come first and the remaining time is estimated.
        footprints: run id -> what it takes, by which packs and parts of GPUs are sized.
        sources: run id -> body of our own that the run needs.
        body_errors: body key -> why that body could not be made.
        checkpoint_seconds: between two checkpoints of a pack.
    """

    ledger: Ledger
    flops: Mapping[str, float] = field(default_factory=dict)
    footprints: Mapping[str, Footprint] = field(default_factory=dict)
    sources: Mapping[str, BodySource] = field(default_factory=dict)
    body_errors: Mapping[str, str] = field(default_factory=dict)
    checkpoint_seconds: float = PERIOD_SECONDS


def run_round(
    launch: Launch,
    bodies: Sequence[BodySource],
    packs: Sequence[Pack],
    offer: Capacity | None = None,
    *,
    later: float = 0.0,
) -> dict[str, str]:
    """Make bodies and train packs that need none of them; Ray must be connected.

    Args:
        launch: what is known of the work.
        bodies, packs: what to do.
        offer: of the cluster, by default of the one that there is now.
        later: operations of what comes after this round, for the estimate of the time that is left.

    Returns:
        Why a body could not be made, by its key, and how the worker of a pack died, by pack id.
    """
    ordered = [
        *sorted(bodies, key=lambda source: source.train_flops, reverse=True),
        *sorted(packs, key=lambda pack: operations(launch, pack), reverse=True),
    ]
    offer = offer or capacity()
    errors: dict[str, str] = {}
    for first in range(0, len(ordered), _MAX_TRIALS):
        rest = sum(operations(launch, each) for each in ordered[first + _MAX_TRIALS :])
        errors |= _fit(launch, ordered[first : first + _MAX_TRIALS], offer, later=later + rest)
    return errors


def _fit(launch: Launch, work: Sequence[Pack | BodySource], offer: Capacity, *, later: float) -> dict[str, str]:
    from study import trainable, trials
    from study.progress import Board

    bodies = [each for each in work if isinstance(each, BodySource)]
    packs = [each for each in work if isinstance(each, Pack)]
    threads = max(1, min(MAX_THREADS, offer.node_cpus, offer.num_cpus // max(1, len(bodies))))
    board = Board(
        "runs" if packs else "bodies",
        work=[operations(launch, each) for each in work],
        later=later,
        total=sum(len(pack.runs) for pack in packs) if packs else len(bodies),
        uncounted=len(bodies) if packs else 0,
        members=[*([] for _ in bodies), *([run.run_id for run in pack.runs] for pack in packs)],
    )
    with told(launch.ledger.storage, board.snapshot):
        died = trials.fit(
            trainable.StudyTrial,
            trainable.Job(
                launch.ledger.uri,
                git_revision(),
                work,
                launch.sources,
                launch.body_errors,
                checkpoint_seconds=launch.checkpoint_seconds,
            ),
            cpus=[threads if isinstance(each, BodySource) else 1 for each in work],
            gpus=[gpus_of(launch, each, offer) for each in work],
            max_failures=MAX_FAILURES,
            board=board,
        )
    return {_name(work[number]): error for number, error in died.items()}


def gpus_of(launch: Launch, work: Pack | BodySource, offer: Capacity) -> float:
    """GPUs of one trial: none without any, a part of one for a pack that leaves room, else one."""
    if offer.device == "cpu":
        return 0.0
    if isinstance(work, BodySource) or work.runs[0].run_id not in launch.footprints:
        return 1.0
    return gpu_share(pack_bytes(work.runs, launch.footprints[work.runs[0].run_id]), offer.gpu_bytes)


def _name(work: Pack | BodySource) -> str:
    return work.key if isinstance(work, BodySource) else work.pack_id


def operations(launch: Launch, work: Pack | BodySource) -> float:
    """Floating-point operations of a pack, evaluation included, or of the making of a body."""
    return work.train_flops if isinstance(work, BodySource) else sum(launch.flops[run.run_id] for run in work.runs)
