"""What can be refused before any work: arguments of tasks, bodies that do not exist, sequences that are too long.

A checkpoint on a hub that cannot be reached is no mistake in the grid: only the runs that need it fail.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from models.bodies import Architecture, architecture
from models.cost import Cost
from models.hub import OfflineError, locate
from models.weights import checkpoint_architecture, load_checkpoint
from study.assemble import cost_of
from study.errors import UserError, one_line
from study.packing import Footprint
from study.spec import RunSpec, TaskArgs
from tasks.base import Task
from tasks.catalogue import make_task


@dataclass(frozen=True)
class Priced:
    """A run that can be trained, and what it costs.

    Attributes:
        run: the specification.
        num_tokens: tokens of an example.
        cost: of one training step.
        num_eval_examples: examples that are only measured: the validation split at every evaluation, step 0 included,
            then the test and the training examples once.
    """

    run: RunSpec
    num_tokens: int
    cost: Cost
    num_eval_examples: int

    @property
    def train_flops(self) -> float:
        """Operations of all training steps."""
        return self.cost.train_flops_per_step * self.run.num_steps

    @property
    def eval_flops(self) -> float:
        """Operations of all evaluations."""
        return self.cost.forward_flops / self.run.batch_size * self.num_eval_examples

    @property
    def footprint(self) -> Footprint:
        """By which packs are sized."""
        own_bytes = self.cost.activation_bytes + 5 * 4 * self.cost.num_params_trained
        return Footprint(self.num_tokens, own_bytes, 4 * self.cost.num_params_total)


def resolve(runs: Iterable[RunSpec]) -> list[Priced]:
    """Every run with its cost. Reads no data, and of a checkpoint that the user names only its configuration.

    Raises:
        ValueError: an argument that the task refuses, more layers than the body has, more tokens than it has positions,
            a checkpoint of another architecture.
        models.hub.OfflineError: a checkpoint that is neither here nor to be fetched.
    """
    tasks: dict[tuple, Task] = {}
    bodies: dict[tuple, Architecture] = {}
    costs: dict[tuple, Cost] = {}
    priced = []
    for run in runs:
        task_key = (run.task, run.protocol, run.task_args)
        if task_key not in tasks:
            tasks[task_key] = make_task(run.task, protocol=run.protocol, args=run.task_args)
        body_key = (run.body, run.size, run.num_layers, run.protocol, run.init if run.has_checkpoint else None)
        if body_key not in bodies:
            bodies[body_key] = _architecture(run)
        task, body = tasks[task_key], bodies[body_key]
        key = (task_key, body_key, run.groups, run.batch_size, run.precision)
        if key not in costs:
            _check_length(run, task.layout.num_tokens, body)
            costs[key] = cost_of(run, task.layout, body)
        priced.append(Priced(run, task.layout.num_tokens, costs[key], _num_eval_examples(run, task)))
    return priced


def unreachable(runs: Iterable[RunSpec], *, with_weights: bool) -> dict[str, str]:
    """Checkpoints that the user names and that are neither on this machine nor to be fetched.

    Args:
        runs: whose checkpoints are looked for, and fetched where they are not here.
        with_weights: the weights too, not only the configuration, which is all that a price needs.

    Returns:
        Init of such runs -> one line: the id, the cache that was looked in, and the command that fetches it.

    Raises:
        ValueError: a folder or repository that does not exist, or without the files of a checkpoint.
    """
    reasons = {}
    for init in sorted({run.init for run in runs if run.has_checkpoint}):
        try:
            locate(init, with_weights=with_weights)
        except OfflineError as error:
            reasons[init] = str(error)
    return reasons


def check_checkpoints(runs: Iterable[RunSpec]) -> None:
    """Load every checkpoint that the user names, once.

    Raises:
        ValueError: one is damaged, or of another architecture.
    """
    for name, body in sorted({(run.init, run.body) for run in runs if run.has_checkpoint}):
        load_checkpoint(name, body=body)


def _architecture(run: RunSpec) -> Architecture:
    if run.has_checkpoint:
        return checkpoint_architecture(run.init, body=run.body, num_layers=run.num_layers)
    return architecture(run.body, size=run.size, num_layers=run.num_layers, protocol=run.protocol)


def _check_length(run: RunSpec, num_tokens: int, body: Architecture) -> None:
    if body.max_tokens is not None and num_tokens > body.max_tokens:
        arguments = TaskArgs(run.task_args).to_json()
        raise UserError(
            f"task {run.task} with arguments {arguments} has {num_tokens} tokens, but body {run.body} "
            f"{one_line(run.size or run.init)} has {body.max_tokens} positions; shorten the task or take another body"
        )


def _num_eval_examples(run: RunSpec, task: Task) -> int:
    valid, test = task.num_examples("valid") or 0, task.num_examples("test") or 0
    # An endless training stream is measured on a sample as large as the validation split.
    train = run.num_train_examples or task.num_examples("train") or valid
    return (1 + math.ceil(run.num_steps / run.eval_every_steps)) * valid + test + train
