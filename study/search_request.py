"""What a user asks of a search, checked before anything starts: one plan per variant, or one line that says why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from study import preflight
from study.errors import UserError, unknown_name
from study.packing import MAX_SIZE
from study.search_overrides import overridden
from study.search_plan import Plan
from study.search_samplers import GRID, SAMPLERS, grid_points
from study.search_space import default_space, own_values
from study.search_targets import Target, targets
from study.search_training import Blind
from study.spec import Features, RunSpec
from tasks.base import Task
from tasks.catalogue import make_task


@dataclass(frozen=True)
class Request:
    """A search as it is asked for.

    Attributes:
        task: what is learned.
        variants: names; None for all of the grid.
        num_samples: proposals for each variant.
        num_seeds: of each proposal.
        sampler: name of `study.search_samplers.SAMPLERS`.
        overrides: of the space, as `--set` takes them.
        num_steps: of a proposal that is not stopped; None for as many as the grid's runs have.
    """

    task: str
    variants: Sequence[str] | None
    num_samples: int
    num_seeds: int = 2
    sampler: str = "tpe"
    overrides: Sequence[str] = ()
    num_steps: int | None = None


def plans(request: Request, runs: Sequence[RunSpec]) -> list[Plan]:
    """One plan for each variant, all with the same number of proposals, seeds and steps.

    Reads the training and the validation data, so that what they lack is told before Ray starts; never the test split.

    Raises:
        UserError, ValueError: what makes no sense.
        tasks.files.MissingData, tasks.files.DamagedData: from the task.
        models.hub.OfflineError: a checkpoint that is neither here nor to be fetched.
    """
    for name, value in (("--samples", request.num_samples), ("--seeds", request.num_seeds)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, not {value}")
    if request.num_seeds > MAX_SIZE["cpu"]:
        raise UserError(f"--seeds must be at most {MAX_SIZE['cpu']}, since the seeds of a proposal train together")
    if request.num_steps is not None and request.num_steps < 1:
        raise UserError(f"--num-steps must be at least 1, not {request.num_steps}")
    if request.sampler not in SAMPLERS:
        raise unknown_name("sampler", request.sampler, SAMPLERS)
    chosen = targets(runs, request.task, request.variants, request.num_steps)
    if any(each.base.features is Features.CACHED for each in chosen):
        raise UserError("a search cannot use cached features, which take in every split at once; search output-only")
    sizes = {(each.base.num_steps, each.base.batch_size, each.base.eval_every_steps) for each in chosen}
    if len(sizes) > 1:
        told = ", ".join(f"{steps} x {batch}, read every {every}" for steps, batch, every in sorted(sizes))
        raise UserError(
            f"the variants differ in steps x batch or readings ({told}), so no search would be fair; give --where"
        )
    preflight.resolve([each.base for each in chosen])
    made = []
    for target in chosen:
        task = make_task(target.base.task, protocol=target.base.protocol, args=target.base.task_args)
        made.append(_plan(request, target, task))
    _check_data(chosen)
    return made


def _plan(request: Request, target: Target, task: Task) -> Plan:
    base = target.base
    num_examples = base.num_train_examples or task.num_examples("train")
    space = overridden(default_space(base, num_examples), request.overrides, base, num_examples)
    points: list = []
    if request.sampler == GRID:
        asked = {text.partition("=")[0].strip() for text in request.overrides}
        points = grid_points(space, request.num_samples, asked, own_values(base))
    budget = (request.num_samples, request.num_seeds)
    return Plan(target, space, request.sampler, *budget, task.chance_accuracy, tuple(points))


def _check_data(chosen: Sequence[Target]) -> None:
    """Read what a search reads: validation, and enough of the training stream to know that it is there."""
    for base in {(each.base.task, each.base.protocol, each.base.task_args): each.base for each in chosen}.values():
        task = Blind(make_task(base.task, protocol=base.protocol, args=base.task_args))
        task.split("valid", torch.device("cpu"))
        task.stream(0, torch.device("cpu"), base.num_train_examples).draw(1)
