"""One round of work on a Ray cluster: bodies are made and packs trained, the longest first, until each has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from study.bodies import BodySource
from study.checkpoints import PERIOD_SECONDS
from study.ledger import Ledger
from study.packing import Pack
from study.provenance import git_revision
from study.running import told

MAX_FAILURES = 2
"""Lost workers that a trial survives, each time from its start."""
_MAX_TRIALS = 2000
"""Trials of one Tune experiment: its state file grows by 10 kB each and is written whole, every few minutes."""
_MAX_BODY_THREADS = 4
"""Threads that one pretraining gets at most: matrices of nano and mini do not fill more."""


@dataclass(frozen=True)
class Launch:
    """What is known of the work before it is done.

    Attributes:
        ledger: where rows and bodies go.
        flops: run id -> operations, by which the longest come first and the remaining time is estimated.
        sources: run id -> body of our own that the run needs.
        body_errors: body key -> why that body could not be made.
        checkpoint_seconds: between two checkpoints of a pack.
    """

    ledger: Ledger
    flops: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, BodySource] = field(default_factory=dict)
    body_errors: Mapping[str, str] = field(default_factory=dict)
    checkpoint_seconds: float = PERIOD_SECONDS


def run_round(launch: Launch, bodies: Sequence[BodySource], packs: Sequence[Pack]) -> dict[str, str]:
    """Make bodies and train packs that need none of them; Ray must be connected.

    Returns:
        Why a body could not be made, by its key, and how the worker of a pack died, by pack id.
    """
    ordered = [
        *sorted(bodies, key=lambda source: source.recipe.num_steps, reverse=True),
        *sorted(packs, key=lambda pack: _flops(launch, pack), reverse=True),
    ]
    errors: dict[str, str] = {}
    for first in range(0, len(ordered), _MAX_TRIALS):
        errors |= _fit(launch, ordered[first : first + _MAX_TRIALS])
    return errors


def num_gpus() -> int:
    """GPUs of one trial: one wherever the cluster has any."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0) >= 1)


def _fit(launch: Launch, work: Sequence[Pack | BodySource]) -> dict[str, str]:
    import ray

    from study import trainable, trials
    from study.progress import Board

    bodies = [each for each in work if isinstance(each, BodySource)]
    packs = [each for each in work if isinstance(each, Pack)]
    threads = max(1, int(ray.cluster_resources().get("CPU", 1)) // max(1, len(bodies)))
    flops = [_flops(launch, pack) for pack in packs]
    # A body weighs as much as the average pack, for want of a better estimate.
    typical = sum(flops) / len(flops) if flops else 1.0
    board = Board(
        "runs" if packs else "bodies",
        work=[*(typical for _ in bodies), *flops],
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
            cpus=[min(_MAX_BODY_THREADS, threads) if isinstance(each, BodySource) else 1 for each in work],
            gpus=[num_gpus() for _ in work],
            max_failures=MAX_FAILURES,
            board=board,
        )
    return {_name(work[number]): error for number, error in died.items()}


def _name(work: Pack | BodySource) -> str:
    return work.key if isinstance(work, BodySource) else work.pack_id


def _flops(launch: Launch, pack: Pack) -> float:
    return sum(launch.flops[run.run_id] for run in pack.runs)
