"""From variants of a task to tuned settings: proposals are evaluated under Ray Tune, the best is run with fresh seeds.

What is settled stands in plans before Ray starts; what was found lies in OUT/search/ and OUT/tuned/. The same command
continues after Ctrl-C or a kill, and more --samples continue what was complete.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from typing import Any, cast

from study import preflight, tuned
from study.bodies import resolve
from study.body_store import has_body
from study.capacity import Capacity, capacity
from study.cluster import connected, require_head
from study.driver_lock import sole_driver
from study.launch import run_grid
from study.ledger import Ledger
from study.packing import MAX_SIZE, make_packs
from study.provenance import git_revision
from study.rounds import Launch, run_round
from study.search_plan import Journal, Plan, open_study
from study.search_results import Outcome, confirmed, found
from study.search_server import Progress
from study.search_space import SHAPES, Choice
from study.storage import absolute

_logger = logging.getLogger(__name__)
_BATCHES = 4
"""Cohorts that a study has at least: what the first ones reached is to guide the others (docs/search.md)."""
_MAX_WORKERS = 256


def run_search(
    plans: Sequence[Plan], *, out: str, address: str | None = None, grid_name: str = "", command: str = ""
) -> list[Outcome]:
    """Search, then run the best setting of each variant with the grid's own seeds, which no search has seen.

    Args:
        plans: of `study.search_request`.
        out: local folder or URI of the ledger.
        address: of a Ray cluster; None starts a private one here.
        grid_name, command: what was asked for.

    Raises:
        UserError, ValueError, StorageError: as `study.launch.run_grid`.
        KeyboardInterrupt: after a clean stop; the same command continues.
    """
    ledger = Ledger(absolute(out))
    require_head(address)
    ledger.prepare()
    sources, lacking = resolve([plan.target.base for plan in plans])
    reasons = {plan.name: lacking.get(plan.target.base.run_id, "") for plan in plans}
    plans = [dataclasses.replace(plan, source=sources.get(plan.target.base.run_id)) for plan in plans]
    with sole_driver(ledger.storage):
        todo = [plan for plan in plans if not reasons[plan.name] and _is_open(ledger, plan)]
        if todo:
            with connected(address):
                reasons |= _evaluate(ledger, todo)
        ended = [found(ledger, plan, reasons[plan.name]) for plan in plans]
    _warn_of_unequal_budgets(ended)
    settings = [each.setting for each in ended if each.setting is not None]
    applied = tuned.apply([run for plan in plans for run in plan.target.runs], settings)
    runs = [run for run in applied.different if run.run_id in applied.tuned]
    if runs:
        run_grid(runs, out=out, address=address, grid_name=grid_name, command=command, tuned=applied.tuned)
    return [confirmed(ledger, each) for each in ended]


def _warn_of_unequal_budgets(ended: Sequence[Outcome]) -> None:
    """Earlier commands may have searched longer for some of the variants."""
    counts = {each.plan.target.variant: sum(each.counts.values()) for each in ended if each.counts}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{variant} {count}" for variant, count in counts.items())
        advice = f"for a fair comparison repeat with --samples {max(counts.values())}"
        _logger.warning("the variants have had different numbers of proposals (%s); %s", told, advice)


def _is_open(ledger: Ledger, plan: Plan) -> bool:
    """Whether proposals are to be evaluated."""
    study = open_study(plan, Journal(ledger.storage, plan.name))
    return bool(study.num_left or study.unfinished())


def _evaluate(ledger: Ledger, plans: Sequence[Plan]) -> dict[str, str]:
    """Make bodies that are lacking and evaluate every proposal; returns why a study could not be, by its name."""
    import ray

    from study import trials
    from study.progress import Board
    from study.search_trainable import SearchJob, SearchTrial, start_server

    offer = capacity()
    needed = {plan.source.key: plan.source for plan in plans if plan.source is not None}
    lacking = [source for key, source in needed.items() if not has_body(ledger.storage, key)]
    errors = run_round(Launch(ledger), lacking, [], offer) if lacking else {}
    reasons = {plan.name: errors[plan.source.key] for plan in plans if plan.source and plan.source.key in errors}
    plans = [plan for plan in plans if plan.name not in reasons]
    if not plans:
        return reasons
    width = min(cohort_width(plan, offer) for plan in plans)
    per_pack = {plan.name: _per_pack(plan, offer, width) for plan in plans}
    server = start_server(ledger.uri, plans, width, per_pack)
    progress: Progress = cast(Any, ray.get(server.progress.remote()))
    left = progress.total - progress.ended
    workers = range(min(_MAX_WORKERS, math.ceil(left / width)))
    died = trials.fit(
        SearchTrial,
        SearchJob(
            ledger.uri, git_revision(), workers, server, {plan.name: plan.source for plan in plans if plan.source}
        ),
        gpus=[0.0 if offer.device == "cpu" else 1.0 for _ in workers],
        # Each death costs proposals their first or second try; beyond that something else is wrong.
        max_failures=2 * left + len(workers),
        board=Board("proposals", work=[1.0 for _ in workers], total=left, is_shared=True),
    )
    ray.kill(server)
    if died:
        _logger.warning("%d of %d workers died for good: %s", len(died), len(workers), next(iter(died.values())))
    return reasons


def cohort_width(plan: Plan, offer: Capacity) -> int:
    """Proposals that are asked for at once: as many as one pack holds, but a quarter of all at most."""
    fitting = MAX_SIZE[offer.device] // plan.num_seeds
    return max(1, min(fitting, plan.num_samples // _BATCHES))


def _per_pack(plan: Plan, offer: Capacity, width: int) -> int:
    """Proposals that train together; all seeds of one always do."""
    batches = [
        each.domain.values
        for each in plan.space.dimensions
        if each.name == SHAPES[0] and isinstance(each.domain, Choice)
    ]
    largest = max((int(value) for values in batches for value in values if value is not None), default=None)
    base = plan.target.base if largest is None else dataclasses.replace(plan.target.base, batch_size=largest)
    runs = [dataclasses.replace(base, seed=seed) for seed in range(width * plan.num_seeds)]
    footprints = {each.run.run_id: each.footprint for each in preflight.resolve(runs)}
    packs = make_packs(runs, device=offer.device, footprints=footprints, memory_bytes=offer.trial_bytes)
    return max(1, len(packs[0].runs) // plan.num_seeds)
