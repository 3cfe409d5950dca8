"""From a grid to a full ledger: what is missing is packed and run as Ray Tune trials, until every run has its row.

Tune only executes; the ledger alone says what is done. So the same command continues after Ctrl-C, a kill or a lost
cluster, and costs nothing when all is done: ray and torch are imported where there is work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.cluster import connected
from study.errors import UserError
from study.ledger import Ledger
from study.packing import Device, Pack, make_packs
from study.provenance import git_revision, manifest
from study.spec import RunSpec

if TYPE_CHECKING:
    from study.bodies import BodySource

_MAX_TRIALS = 2000
"""Trials of one Tune experiment: its state file grows by 10 kB each and is written whole, every few minutes."""
_MAX_FAILURES = 2
"""Lost workers that a trial survives, each time from its start."""
_MAX_BODY_THREADS = 4
"""Threads that one pretraining gets at most: matrices of nano and mini do not fill more."""


@dataclass(frozen=True)
class LaunchSummary:
    """How the grid stands after a launch.

    Attributes:
        done, failed, diverged: runs of the grid by the status of their row.
        missing: runs of the grid without a row.
        packs: packs that this launch trained.
        wall_seconds: of this launch.
    """

    done: int
    failed: int
    diverged: int
    missing: int
    packs: int
    wall_seconds: float


def run_grid(
    specs: Sequence[RunSpec],
    *,
    out: str,
    address: str | None = None,
    retry_failed: bool = False,
    grid_name: str = "",
    command: str = "",
) -> LaunchSummary:
    """Train every run that has no row in the ledger yet.

    Args:
        specs: the grid.
        out: local folder or URI of the ledger.
        address: of a Ray cluster ("auto" for the one of this machine); None starts a private one here.
        retry_failed: also train the runs that failed before.
        grid_name, command: what was asked for, kept in OUT/manifest/.

    Raises:
        UserError, ValueError: a task's argument, the ledger's place, or damaged data; nothing was run.
        KeyboardInterrupt: after a clean stop; the same command continues.
    """
    started = time.monotonic()
    specs = list({spec.run_id: spec for spec in specs}.values())
    ledger = Ledger(_absolute(out))
    finished = ledger.finished()
    todo = [spec for spec in specs if finished.get(spec.run_id) in ((None, "failed") if retry_failed else (None,))]
    num_packs = 0
    if todo:
        launch = _prepare(ledger, todo)
        ledger.prepare()
        path, document = manifest(specs, grid_name=grid_name, command=command)
        ledger.storage.commit(path, document)
        with connected(address):
            needed = {source.key: source for source in launch.sources.values()}
            launch.body_errors.update(_make_bodies(ledger, list(needed.values())))
            num_packs = _run_packs(launch, todo)
        ledger.compact()
    finished = ledger.finished()
    counts = Counter(finished.get(spec.run_id, "missing") for spec in specs)
    numbers = {status: counts[status] for status in ("done", "failed", "diverged", "missing")}
    return LaunchSummary(**numbers, packs=num_packs, wall_seconds=time.monotonic() - started)


def run_pretraining(
    init: str,
    *,
    body: str,
    size: str,
    out: str,
    num_steps: int | None = None,
    seed: int = 0,
    address: str | None = None,
) -> dict[str, Any]:
    """Make one body where the store does not have it; returns its card.

    Raises:
        UserError: an objective, body or size that does not exist, or pretraining failed.
    """
    from study.bodies import has_body, read_card, source_of
    from study.recipes import recipe_for

    source = source_of(recipe_for(init, body=body, size=size, seed=seed, num_steps=num_steps))
    ledger = Ledger(_absolute(out))
    if not has_body(ledger.storage, source.key):
        ledger.prepare()
        with connected(address):
            errors = _make_bodies(ledger, [source])
        if errors:
            raise UserError(f"the {source.name} could not be made: {errors[source.key]}")
    return read_card(ledger.storage, source.key)


def _absolute(out: str) -> str:
    """Workers may have another working folder."""
    return out if "://" in out else str(Path(out).expanduser().absolute())


@dataclass(frozen=True)
class _Launch:
    """What is known of the missing runs before they are trained.

    Attributes:
        ledger: where their rows go.
        work: run id -> operations, by which the longest come first and the remaining time is estimated.
        sources: run id -> body of our own that the run needs.
        body_errors: body key -> why that body could not be made.
    """

    ledger: Ledger
    work: dict[str, float]
    sources: dict[str, BodySource]
    body_errors: dict[str, str]


def _prepare(ledger: Ledger, todo: Sequence[RunSpec]) -> _Launch:
    """Refuse before any work what cannot be trained; absent data become failed rows where they are missed."""
    from study import bodies, preflight
    from tasks.catalogue import make_task
    from tasks.files import MissingData

    work = {priced.run.run_id: priced.train_flops + priced.eval_flops for priced in preflight.resolve(todo)}
    for run in {(spec.task, spec.protocol, spec.task_args): spec for spec in todo}.values():
        try:
            make_task(run.task, protocol=run.protocol, args=run.task_args).check()
        except MissingData:
            continue
    sources = {run.run_id: source for run in todo if (source := bodies.resolve(run)) is not None}
    return _Launch(ledger, work, sources, {})


def _make_bodies(ledger: Ledger, sources: Sequence[BodySource]) -> dict[str, str]:
    """Make the bodies that the store lacks; returns why some could not be made, by key."""
    from study.bodies import has_body

    lacking = [source for source in sources if not has_body(ledger.storage, source.key)]
    if not lacking:
        return {}
    import ray

    from study.progress import Board
    from study.trainable import BodyTrial, Job, fit

    cpus = int(ray.cluster_resources().get("CPU", 1))
    threads = max(1, min(_MAX_BODY_THREADS, cpus // len(lacking)))
    ordered = sorted(lacking, key=lambda source: source.recipe.num_steps, reverse=True)
    job = Job(out=ledger.uri, revision=git_revision(), bodies=ordered)
    board = Board("bodies", work=[float(source.recipe.num_steps) for source in ordered], total=len(ordered))
    errors = fit(
        BodyTrial, job, num_trials=len(ordered), cpus=threads, gpus=_num_gpus(), max_failures=_MAX_FAILURES, board=board
    )
    return {ordered[number].key: error for number, error in errors.items()}


def _num_gpus() -> int:
    """GPUs of one trial: one wherever the cluster has any."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0) >= 1)


def _run_packs(launch: _Launch, todo: Sequence[RunSpec]) -> int:
    """Train runs until each has a row; returns the number of packs.

    Runs whose worker died again and again are tried once more, each alone, so that the one that kills it takes no
    other along; a run that dies alone gets a row that says so.
    """
    from study.execution import failed_row

    device: Device = "cuda" if _num_gpus() else "cpu"
    packs = make_packs(todo, device=device)
    errors = _train(launch, packs)
    num_packs = len(packs)
    finished = launch.ledger.finished()
    lost = [run for pack in packs for run in pack.runs if run.run_id not in finished]
    if lost and len(packs) < len(todo):
        packs = make_packs(lost, device=device, max_size=1)
        errors = _train(launch, packs)
        num_packs += len(packs)
        finished = launch.ledger.finished()
    for pack in packs:
        (run, *others) = pack.runs
        if run.run_id not in finished and not others:
            reason = errors.get(pack.pack_id, "its trial ended without a row")
            launch.ledger.append([failed_row(run, reason)], [], pack.pack_id)
    return num_packs


def _train(launch: _Launch, packs: Sequence[Pack]) -> dict[str, str]:
    """Run packs as trials, the longest first; returns how workers died, by pack."""
    from study.progress import Board
    from study.trainable import Job, PackTrial, fit

    flops = {pack.pack_id: sum(launch.work[run.run_id] for run in pack.runs) for pack in packs}
    ordered = sorted(packs, key=lambda pack: flops[pack.pack_id], reverse=True)
    errors: dict[str, str] = {}
    for first in range(0, len(ordered), _MAX_TRIALS):
        part = ordered[first : first + _MAX_TRIALS]
        job = Job(launch.ledger.uri, git_revision(), part, sources=launch.sources, body_errors=launch.body_errors)
        num_runs = sum(len(pack.runs) for pack in part)
        board = Board("runs", work=[flops[pack.pack_id] for pack in part], total=num_runs)
        died = fit(PackTrial, job, num_trials=len(part), gpus=_num_gpus(), max_failures=_MAX_FAILURES, board=board)
        errors |= {part[number].pack_id: error for number, error in died.items()}
    return errors
