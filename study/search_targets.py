"""What a search is for: the variants of one task in a grid, each with the runs that will use what is found."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.errors import UserError, unknown_name
from study.inits import parse
from study.search_space import Space
from study.spec import Features, RunSpec, canonical_json
from study.tuned import TUNABLE, WARMUP_SHARE, holds_for

NAMES = {
    ("fpt", "language"): "fpt",
    ("full", "language"): "full",
    ("output-only", "language"): "output-only",
    ("fpt", "random"): "frozen-random",
    ("full", "random"): "full-random",
}
"""(train set, init) -> name of a variant; any other is called TRAIN_SET:INIT."""
FIRST_SEED = 1_000_000
"""Seeds of a search are apart from those of grids, so that the runs that use its result have seeds it has not seen."""
_DRAWN = ("random", "random-scaled")
# What runs of one variant may differ in: what is searched, and seeds.
_FREE = {*TUNABLE, "seed", "body_seed"}


@dataclass(frozen=True)
class Target:
    """One variant of one task.

    Attributes:
        variant: its name.
        runs: of the grid; they differ in seeds and in what is searched only.
        base: the run that proposals change: the first of the grid's, of another length where that was asked for.
    """

    variant: str
    runs: tuple[RunSpec, ...]
    base: RunSpec


def variant_name(run: RunSpec) -> str:
    """Name of the variant that a run belongs to."""
    train_set = run.train_set_name + "-cached" * (run.features is Features.CACHED)
    return NAMES.get((train_set, run.init), f"{train_set}:{run.init}")


def targets(
    runs: Iterable[RunSpec], task: str, variants: Sequence[str] | None, num_steps: int | None = None
) -> list[Target]:
    """The variants of a task, in the order of the grid.

    Args:
        runs: the grid.
        task: what is learned.
        variants: their names; None for all of them.
        num_steps: of each proposal; None for as many as the grid's runs.

    Raises:
        UserError: the grid lacks the task or the variant, or a name stands for runs that are too different to share a
            setting.
    """
    runs = list(runs)
    mine = [run for run in runs if run.task == task]
    if not mine:
        raise unknown_name("task in this grid", task, dict.fromkeys(run.task for run in runs))
    if any(run.seed >= FIRST_SEED for run in mine):
        raise UserError(f"seeds from {FIRST_SEED} on are those of searches; give the runs of this grid others")
    by_name: dict[str, list[RunSpec]] = {}
    for run in mine:
        by_name.setdefault(variant_name(run), []).append(run)
    for name in variants or []:
        if name not in by_name:
            raise unknown_name(f"variant of {task} in this grid", name, by_name)
    chosen = {name: runs for name, runs in by_name.items() if variants is None or name in variants}
    for name, alike in chosen.items():
        _check_alike(name, alike)
    bases = {name: alike[0] if num_steps is None else _shortened(alike[0], num_steps) for name, alike in chosen.items()}
    return [Target(name, tuple(alike), bases[name]) for name, alike in chosen.items()]


def _check_alike(variant: str, runs: Sequence[RunSpec]) -> None:
    columns = [{name: value for name, value in run.as_columns().items() if name not in _FREE} for run in runs]
    odd = [name for name in columns[0] if len({each[name] for each in columns}) > 1]
    if odd:
        values = ", ".join(dict.fromkeys(str(each[odd[0]]) for each in columns))
        raise UserError(
            f"variant {variant} of {runs[0].task} differs in {odd[0]} within this grid ({values}): one "
            f"setting cannot be searched for all; choose with --where '{odd[0]}=...'"
        )


def _shortened(run: RunSpec, num_steps: int) -> RunSpec:
    """As many readings as the grid's run has, on another number of steps."""
    every = max(1, round(num_steps * run.eval_every_steps / run.num_steps))
    warmup_steps = round(num_steps * run.warmup_steps / run.num_steps)
    return dataclasses.replace(run, num_steps=num_steps, eval_every_steps=every, warmup_steps=warmup_steps)


def searched_runs(base: RunSpec, values: Mapping[str, Any], num_seeds: int) -> list[RunSpec]:
    """The runs by which a proposal is judged, one per seed.

    A body that is drawn from a seed is one that no grid has, the same for every proposal: they then share its matrix
    products. What is pretrained stays the grid's.
    """
    values = dict(values)
    values["warmup_steps"] = round(values.pop(WARMUP_SHARE) * base.num_steps)
    body_seed = searched_body_seed(base)
    seeds = range(FIRST_SEED, FIRST_SEED + num_seeds)
    return [dataclasses.replace(base, **values, seed=seed, body_seed=body_seed) for seed in seeds]


def searched_body_seed(base: RunSpec) -> int:
    """Seed of the body that proposals of a search start from."""
    is_drawn = not base.has_checkpoint and parse(base.init).name in _DRAWN
    return FIRST_SEED if is_drawn else base.body_seed


def study_name(target: Target, space: Space, settings: Mapping[str, Any]) -> str:
    """Name of a study: task, variant and a digest of everything that may change what it finds, the number of proposals
    excepted: asking for more of them continues it.
    """
    base = target.base
    document = {
        "holds_for": holds_for(base),
        "steps": [base.num_steps, base.eval_every_steps],
        "space": space.described(),
        **settings,
    }
    digest = hashlib.sha256(canonical_json(document).encode()).hexdigest()[:8]
    variant = "".join(letter if letter.isalnum() or letter in "-+." else "-" for letter in target.variant)
    return f"{base.task}__{variant}__{digest}"
