"""The runs of one entry of a table: one variant of the model on one task, every seed, under every protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from models import Group
from study.grids.cells import Scale, protocols
from study.grids.paper_settings import NUM_SEEDS, SETTINGS
from study.inits import CONTROLS
from study.spec import Features, RunSpec

# Inits whose `body_seed` says which of many bodies; a pretrained one is always that of seed 0.
_DRAWN = ("random", "random-scaled", *CONTROLS)


@dataclass(frozen=True)
class Variant:
    """A model of a table: what is left out is the scale's or the paper's.

    Attributes:
        init, body, size, num_layers, train_set, features: as in `RunSpec`; size None for the scale's.
        lr: None for the task's.
    """

    init: str = "language"
    body: str = "gpt2"
    size: str | None = None
    num_layers: int | None = None
    train_set: str = "fpt"
    features: Features = Features.ONLINE
    lr: float | None = None


@cache
def runs_of(variant: Variant, task: str, scale: Scale) -> tuple[RunSpec, ...]:
    """The variant on a task: protocols, then body seeds, then seeds."""
    common = SETTINGS[scale]
    settings = common.tasks[task]
    fallback = common.lstm_lr if variant.body.startswith("lstm") else settings.lr
    fields: dict[str, Any] = {
        "body": variant.body,
        "size": variant.size or common.size,
        "num_layers": variant.num_layers,
        "init": variant.init,
        "train_set": variant.train_set,
        "features": variant.features,
        "lr": fallback if variant.lr is None else variant.lr,
        "batch_size": settings.batch_size,
        "num_steps": settings.num_steps,
        "eval_every_steps": settings.eval_every_steps,
        "num_train_examples": settings.num_train_examples,
        "dropout": common.dropout,
    }
    made = []
    for protocol in protocols(task, variant.body):
        first = RunSpec(task=task, task_args=settings.args(protocol), protocol=protocol, **fields)
        pairs = _seeds(first, common.num_body_seeds)
        made += [replace(first, seed=seed, body_seed=body_seed) for body_seed, seed in pairs]
    return tuple(made)


def _seeds(run: RunSpec, num_body_seeds: int | None) -> list[tuple[int, int]]:
    """(body seed, seed) of every run.

    Bodies and seeds are crossed where the body is drawn and stays what it is. One that is trained as a whole is only
    where training starts, as the other initial values are: it is drawn anew with every seed.
    """
    seeds = range(NUM_SEEDS)
    if run.init.partition(":")[0] not in _DRAWN:
        return [(0, seed) for seed in seeds]
    if num_body_seeds is None or is_trained_whole(run):
        return [(seed, seed) for seed in seeds]
    return [(body_seed, seed) for body_seed in range(num_body_seeds) for seed in seeds]


def is_trained_whole(run: RunSpec) -> bool:
    """Whether every matrix of the body is trained."""
    return Group.FEEDFORWARD in run.groups and (run.body.startswith("lstm") or Group.ATTENTION in run.groups)
