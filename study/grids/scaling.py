"""Scaling ladders: runs that differ in one thing (and their seeds), each thing in four to six rungs.

Every ladder is a grid of its own too: `scaling-depth-small` is a part of `scaling-small`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from models import Group
from study.grids.cells import Scale, unique
from study.grids.scaling_settings import (
    FROZEN,
    INITS,
    NUM_EVALUATIONS,
    NUM_SEEDS,
    PRETRAINED,
    SCHEDULE,
    SETTINGS,
    WARMUP_SHARE,
    WHOLE,
    rate,
)
from study.spec import RunSpec

MATRICES = {Group.ATTENTION, Group.FEEDFORWARD}
TRAIN_SETS: tuple[str, ...] = (
    "output-only",
    "input+output",
    "input+output+positions",
    FROZEN,
    "input+output+positions+layernorm+feedforward",
    WHOLE,
)
"""From the fewest trained parameters to all of them."""
_PAIR = ("language", "random")


def _runs(scale: Scale, task: str, *, inits: tuple[str, ...] = INITS, **fields: Any) -> list[RunSpec]:
    """One rung: every init with every seed."""
    ladders, own = SETTINGS[scale], SETTINGS[scale].tasks[task]
    num_steps = fields.get("num_steps", own.num_steps)
    shared: dict[str, Any] = {
        "task": task,
        "task_args": own.task_args,
        "size": ladders.body,
        "train_set": FROZEN,
        "num_train_examples": own.num_train_examples,
        "batch_size": own.batch_size,
        "schedule": SCHEDULE,
        "warmup_steps": round(WARMUP_SHARE * num_steps),
        "dropout": ladders.dropout,
        "num_steps": num_steps,
        "eval_every_steps": max(1, num_steps // NUM_EVALUATIONS),
        **fields,
    }
    first = RunSpec(**shared)
    lr = rate(scale, shared["size"], trains_matrices=bool(MATRICES & set(first.groups)))
    return [
        dataclasses.replace(first, init=init, lr=lr, seed=seed, body_seed=0 if init in PRETRAINED else seed)
        for init in inits
        for seed in range(NUM_SEEDS)
    ]


def size(scale: Scale, task: str) -> list[RunSpec]:
    """Bodies that grow in depth and width together, frozen and fully trained."""
    rungs = SETTINGS[scale].sizes
    return [r for train in (FROZEN, WHOLE) for rung in rungs for r in _runs(scale, task, size=rung, train_set=train)]


def depth(scale: Scale, task: str) -> list[RunSpec]:
    """Bodies of one width that grow in depth, frozen and fully trained."""
    return _shapes(scale, task, SETTINGS[scale].depths)


def width(scale: Scale, task: str) -> list[RunSpec]:
    """Bodies of one depth that grow in width, frozen and fully trained."""
    return _shapes(scale, task, SETTINGS[scale].widths)


def trained(scale: Scale, task: str) -> list[RunSpec]:
    """One body of which more and more is trained, from the output layer to everything."""
    return [run for groups in TRAIN_SETS for run in _runs(scale, task, train_set=groups)]


def data(scale: Scale, task: str) -> list[RunSpec]:
    """One body and more and more training examples, frozen and fully trained; as many steps at every rung."""
    rungs = SETTINGS[scale].tasks[task].examples
    return _both(scale, task, [{"num_train_examples": rung} for rung in rungs])


def compute(scale: Scale, task: str) -> list[RunSpec]:
    """One body and more and more steps, each with a schedule of its own, frozen and fully trained."""
    return _both(scale, task, [{"num_steps": rung} for rung in SETTINGS[scale].tasks[task].steps])


def _shapes(scale: Scale, task: str, shapes: tuple[tuple[str, int | None], ...]) -> list[RunSpec]:
    return _both(scale, task, [{"size": name, "num_layers": layers} for name, layers in shapes])


def _both(scale: Scale, task: str, rungs: list[dict[str, Any]]) -> list[RunSpec]:
    """Language and random bodies at these rungs, frozen and fully trained."""
    return [
        run
        for train_set in (FROZEN, WHOLE)
        for rung in rungs
        for run in _runs(scale, task, inits=_PAIR, train_set=train_set, **rung)
    ]


LADDERS: dict[str, Callable[[Scale, str], list[RunSpec]]] = {
    "size": size,
    "depth": depth,
    "width": width,
    "trained": trained,
    "data": data,
    "compute": compute,
}


def ladder(name: str, scale: str) -> Callable[[], list[RunSpec]]:
    """The grid of one ladder, over the scale's tasks; "all" for the ladders together."""
    of = Scale(scale)
    chosen = list(LADDERS.values()) if name == "all" else [LADDERS[name]]

    def grid() -> list[RunSpec]:
        return unique(run for task in SETTINGS[of].tasks for make in chosen for run in make(of, task))

    first = "Scaling ladders: size, depth, width, trained parameters, data and compute." if name == "all" else None
    grid.__doc__ = f"{first or chosen[0].__doc__} {_ABOUT[of]}"
    return grid


_ABOUT = {Scale.SMALL: "Bodies up to nano.", Scale.FULL: "GPT-2 base to xl."}
