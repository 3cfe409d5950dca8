"""From a grid to a full ledger: what is missing is packed and run as Ray Tune trials, until every run has its row.

Tune only executes; the ledger alone says what is done. So the same command continues after Ctrl-C, a kill or a lost
cluster, and costs nothing when all is done: ray and torch are imported where there is work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from study.cluster import connected
from study.ledger import Ledger
from study.packing import Device, Pack, make_packs
from study.provenance import manifest
from study.spec import RunSpec
from study.storage import absolute

if TYPE_CHECKING:
    from study.rounds import Launch


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
    ledger = Ledger(absolute(out))
    finished = ledger.finished()
    todo = [spec for spec in specs if finished.get(spec.run_id) in ((None, "failed") if retry_failed else (None,))]
    num_packs = 0
    if todo:
        launch, unreachable = _prepare(ledger, todo)
        ledger.prepare()
        path, document = manifest(specs, grid_name=grid_name, command=command)
        ledger.storage.commit(path, document)
        _record_unreachable(ledger, todo, unreachable)
        if reachable := [spec for spec in todo if spec.init not in unreachable]:
            with connected(address):
                num_packs = _run(launch, reachable)
        ledger.compact()
    finished = ledger.finished()
    counts = Counter(finished.get(spec.run_id, "missing") for spec in specs)
    numbers = {status: counts[status] for status in ("done", "failed", "diverged", "missing")}
    return LaunchSummary(**numbers, packs=num_packs, wall_seconds=time.monotonic() - started)


def _prepare(ledger: Ledger, todo: Sequence[RunSpec]) -> tuple[Launch, dict[str, str]]:
    """Refuse before any work what cannot be trained; absent data become failed rows where they are missed.

    Returns:
        What is known of the runs that can be trained, and by init why the checkpoints of others cannot be had.
    """
    from study import bodies, preflight
    from study.rounds import Launch
    from tasks.catalogue import make_task
    from tasks.files import MissingData

    unreachable = preflight.unreachable(todo, with_weights=True)
    todo = [spec for spec in todo if spec.init not in unreachable]
    flops = {priced.run.run_id: priced.train_flops + priced.eval_flops for priced in preflight.resolve(todo)}
    preflight.check_checkpoints(todo)
    for run in {(spec.task, spec.protocol, spec.task_args): spec for spec in todo}.values():
        try:
            make_task(run.task, protocol=run.protocol, args=run.task_args).check()
        except MissingData:
            continue
    sources = {run.run_id: source for run in todo if (source := bodies.resolve(run)) is not None}
    return Launch(ledger, flops, sources), unreachable


def _record_unreachable(ledger: Ledger, todo: Sequence[RunSpec], reasons: Mapping[str, str]) -> None:
    """A failed row for each run whose checkpoint cannot be had, by init."""
    from study.execution import failed_row

    for pack in make_packs([spec for spec in todo if spec.init in reasons], device="cpu"):
        ledger.append([failed_row(run, reasons[run.init]) for run in pack.runs], [], pack.pack_id)


def _run(launch: Launch, todo: Sequence[RunSpec]) -> int:
    """Make the bodies that are lacking and train runs until each has a row; returns the number of packs.

    What needs no lacking body is trained while those are made. Runs whose worker died again and again are tried once
    more, each alone, so that the one that kills it takes no other along; a run that dies alone gets a row that says so.
    """
    from study.bodies import has_body
    from study.rounds import num_gpus, run_round

    device: Device = "cuda" if num_gpus() else "cpu"
    packs = make_packs(todo, device=device)
    needed = {source.key: source for source in launch.sources.values()}
    lacking = {key: source for key, source in needed.items() if not has_body(launch.ledger.storage, key)}
    ready = [pack for pack in packs if not _keys(launch, pack) & lacking.keys()]
    waiting = [pack for pack in packs if _keys(launch, pack) & lacking.keys()]
    errors = run_round(launch, list(lacking.values()), ready) if lacking or ready else {}
    launch = replace(launch, body_errors={key: errors[key] for key in lacking if key in errors})
    errors |= run_round(launch, [], waiting) if waiting else {}
    num_packs = len(packs)
    finished = launch.ledger.finished()
    lost = [run for pack in packs for run in pack.runs if run.run_id not in finished]
    if lost and len(packs) < len(todo):
        packs = make_packs(lost, device=device, max_size=1)
        errors = run_round(launch, [], packs)
        num_packs += len(packs)
    _record_lost(launch, packs, errors)
    return num_packs


def _keys(launch: Launch, pack: Pack) -> set[str]:
    """Bodies of our own that a pack needs."""
    return {launch.sources[run.run_id].key for run in pack.runs if run.run_id in launch.sources}


def _record_lost(launch: Launch, packs: Sequence[Pack], errors: Mapping[str, str]) -> None:
    """A row for each run that died alone."""
    from study.execution import failed_row

    finished = launch.ledger.finished()
    for pack in packs:
        (run, *others) = pack.runs
        if run.run_id not in finished and not others:
            reason = errors.get(pack.pack_id, "its trial ended without a row")
            launch.ledger.append([failed_row(run, reason)], [], pack.pack_id)
