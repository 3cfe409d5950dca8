"""From a grid to a full ledger: what is missing is packed and run as Ray Tune trials, until every run has its row.

Tune only executes; the ledger alone says what is done. So the same command continues after Ctrl-C, a kill or a lost
cluster, and costs nothing when all is done: ray and torch are imported where there is work.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from study.cluster import connected, require_head
from study.driver_lock import sole_driver
from study.errors import StorageError
from study.ledger import Ledger
from study.ledger_schema import FINAL
from study.packing import Pack, make_packs
from study.provenance import manifest
from study.spec import RunSpec
from study.storage import absolute

if TYPE_CHECKING:
    from study.capacity import Capacity
    from study.rounds import Launch

_logger = logging.getLogger(__name__)
_MAX_ROUNDS = 8
"""Further rounds for packs whose worker died: enough to halve a pack of 32 down to its runs, and for machines to go."""


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
    checkpoint_seconds: float | None = None,
    grid_name: str = "",
    command: str = "",
    tuned: Collection[str] = (),
) -> LaunchSummary:
    """Train every run that has no row in the ledger yet.

    Args:
        specs: the grid.
        out: local folder or URI of the ledger.
        address: of a Ray cluster ("auto" for the one of this machine); None starts a private one here.
        retry_failed: also train the runs that failed before.
        checkpoint_seconds: between two states of a pack that takes longer than that; a minute by default.
        grid_name, command: what was asked for, kept in OUT/manifest/.
        tuned: ids of the runs whose settings a search found, kept there too.

    Raises:
        UserError, ValueError: a task's argument, the ledger's place, damaged data, or another driver: nothing was run;
            or the ledger's place failed later: what was committed is safe.
        KeyboardInterrupt: after a clean stop; the same command continues.
    """
    started = time.monotonic()
    specs = list({spec.run_id: spec for spec in specs}.values())
    ledger = Ledger(absolute(out))
    endings = (None, "failed") if retry_failed else (None,)
    todo = _todo(specs, ledger, endings)
    num_packs = 0
    if todo:
        launch, unreachable = _prepare(ledger, todo)
        if checkpoint_seconds is not None:
            launch = replace(launch, checkpoint_seconds=checkpoint_seconds)
        require_head(address)
        ledger.prepare()
        with sole_driver(ledger.storage):
            todo = _todo(todo, ledger, endings)  # a driver that has just ended may have done some
            path, document = manifest(specs, grid_name=grid_name, command=command, tuned=tuned)
            ledger.storage.commit(path, document)
            _record_unreachable(ledger, todo, unreachable)
            if reachable := [spec for spec in todo if spec.run_id not in unreachable]:
                with connected(address):
                    num_packs = _run(launch, reachable)
            _forget_finished(ledger)
            ledger.compact()
    elif specs and ledger.is_untidy():
        _tidy(ledger)
    finished = ledger.finished()
    counts = Counter(finished.get(spec.run_id, "missing") for spec in specs)
    numbers = {status: counts[status] for status in ("done", "failed", "diverged", "missing")}
    return LaunchSummary(**numbers, packs=num_packs, wall_seconds=time.monotonic() - started)


def _todo(specs: Sequence[RunSpec], ledger: Ledger, endings: Sequence[str | None]) -> list[RunSpec]:
    finished = ledger.finished()
    return [spec for spec in specs if finished.get(spec.run_id) in endings]


def _prepare(ledger: Ledger, todo: Sequence[RunSpec]) -> tuple[Launch, dict[str, str]]:
    """Refuse before any work what cannot be trained; absent data become failed rows where they are missed.

    Returns:
        What is known of the runs that can be trained, and by run id why the body of another cannot be had.
    """
    from study import bodies, preflight
    from study.rounds import Launch
    from tasks.catalogue import make_task
    from tasks.files import MissingData

    reasons = preflight.unreachable(todo, with_weights=True)
    unreachable = {spec.run_id: reasons[spec.init] for spec in todo if spec.init in reasons}
    sources, lacking = bodies.resolve(todo)
    unreachable |= lacking
    todo = [spec for spec in todo if spec.run_id not in unreachable]
    priced = {each.run.run_id: each for each in preflight.resolve(todo)}
    preflight.check_checkpoints(todo)
    for run in {(spec.task, spec.protocol, spec.task_args): spec for spec in todo}.values():
        try:
            make_task(run.task, protocol=run.protocol, args=run.task_args).check()
        except MissingData:
            continue
    launch = Launch(
        ledger,
        flops={run_id: each.train_flops + each.eval_flops for run_id, each in priced.items()},
        footprints={run_id: each.footprint for run_id, each in priced.items()},
        sources=sources,
    )
    return launch, unreachable


def _record_unreachable(ledger: Ledger, todo: Sequence[RunSpec], reasons: Mapping[str, str]) -> None:
    """A failed row for each run whose body cannot be had, for want of a checkpoint or of data to pretrain on."""
    from study.execution import failed_row

    for pack in make_packs([spec for spec in todo if spec.run_id in reasons], device="cpu"):
        ledger.append([failed_row(run, reasons[run.run_id]) for run in pack.runs], [], pack.pack_id)


def _run(launch: Launch, todo: Sequence[RunSpec]) -> int:
    """Make the bodies that are lacking and train runs until each has a row; returns the number of packs trained.

    What needs no lacking body is trained while those are made. Runs whose worker died again and again are tried in
    further rounds (`study.retries`); one that dies alone gets a row that says so.
    """
    from study.body_store import has_body
    from study.capacity import capacity
    from study.retries import is_no_fault
    from study.rounds import operations, run_round

    failed_before = launch.ledger.attempts()
    # Asked once: between two rounds an autoscaling cluster may be without a GPU for a while.
    offer = capacity()
    packs = _packs(launch, todo, offer)
    needed = {source.key: source for source in launch.sources.values()}
    lacking = {key: source for key, source in needed.items() if not has_body(launch.ledger.storage, key)}
    ready = [pack for pack in packs if not _keys(launch, pack) & lacking.keys()]
    waiting = [pack for pack in packs if _keys(launch, pack) & lacking.keys()]
    later = sum(operations(launch, pack) for pack in waiting)
    errors = run_round(launch, list(lacking.values()), ready, offer, later=later) if lacking or ready else {}
    for _ in range(_MAX_ROUNDS):
        lost_bodies = [source for key, source in lacking.items() if is_no_fault(errors.get(key, ""))]
        if not lost_bodies:
            break
        errors = {key: errors[key] for key in errors if key not in {source.key for source in lost_bodies}}
        errors |= run_round(launch, lost_bodies, [], offer)
    launch = replace(launch, body_errors={key: errors[key] for key in lacking if key in errors})
    errors |= run_round(launch, [], waiting, offer) if waiting else {}
    num_packs = len(packs)
    lost = _lost(launch, packs, errors, failed_before)
    for _ in range(_MAX_ROUNDS):
        if not lost:
            break
        errors = run_round(launch, [], lost, offer)
        num_packs += len(lost)
        lost = _lost(launch, lost, errors, failed_before)
    if lost:
        num_runs, reason = sum(len(pack.runs) for pack in lost), next(iter(errors.values()), "no reason is known")
        _logger.warning("%d runs are missing after %d rounds: %s", num_runs, _MAX_ROUNDS, reason)
    return num_packs


def _packs(launch: Launch, todo: Sequence[RunSpec], offer: Capacity) -> list[Pack]:
    """Packs for this cluster; where an earlier launch left a state its pack is made again, so that it can go on."""
    from study.checkpoints import unfinished
    from study.retries import adopted

    packs = adopted(todo, unfinished(launch.ledger.storage))
    taken = {run.run_id for pack in packs for run in pack.runs}
    rest = [run for run in todo if run.run_id not in taken]
    memory_bytes = offer.trial_bytes
    return packs + make_packs(rest, device=offer.device, footprints=launch.footprints, memory_bytes=memory_bytes)


def _tidy(ledger: Ledger) -> None:
    """Do what a launch that was killed at its very end left undone; no lock is needed, and no right to write."""
    try:
        ledger.compact()
    except StorageError as error:
        _logger.warning("parts are not merged: %s", error)


def _forget_finished(ledger: Ledger) -> None:
    """Remove the states of packs all of whose runs have a result: they were trained in another company."""
    from study import checkpoints

    finished = ledger.finished()
    for pack_id, ids in checkpoints.unfinished(ledger.storage).items():
        if all(finished.get(run_id) in FINAL for run_id in ids):
            checkpoints.remove(ledger.storage, pack_id)


def _keys(launch: Launch, pack: Pack) -> set[str]:
    """Bodies of our own that a pack needs."""
    return {launch.sources[run.run_id].key for run in pack.runs if run.run_id in launch.sources}


def _lost(
    launch: Launch, packs: Sequence[Pack], errors: Mapping[str, str], failed_before: Mapping[str, str]
) -> list[Pack]:
    """What of a round is to be tried again; a run that died alone, by its own fault if anything, gets a row.

    Rows of the attempts before this launch say nothing of it: with `retry_failed` each run begins with one.
    """
    from study.execution import failed_row
    from study.retries import again, is_no_fault

    attempts = launch.ledger.attempts()
    finished = {run_id for run_id, attempt in attempts.items() if failed_before.get(run_id) != attempt}
    for pack in packs:
        (run, *others) = pack.runs
        reason = errors.get(pack.pack_id, "its trial ended without a row")
        if run.run_id not in finished and not others and not is_no_fault(reason):
            launch.ledger.append([failed_row(run, reason)], [], pack.pack_id)
    return again(packs, finished, errors)
