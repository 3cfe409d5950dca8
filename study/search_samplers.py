"""What chooses the next proposal: one of Optuna's samplers by name, or the points of a grid."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from study.errors import UserError
from study.search_space import Choice, Space, Value, points

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SAMPLERS = {
    "tpe": "tree-structured Parzen estimator: learns from what was evaluated (the default)",
    "random": "independent points",
    "qmc": "Sobol points, which fill the space evenly; choices among values are drawn independently",
    "gp": "Gaussian process; for few, expensive proposals; none is stopped early",
    "grid": "every combination of the values of --set and evenly spaced learning rates; none is stopped early",
}
GRID = "grid"
TO_THE_END = ("gp", GRID)
"""Samplers whose proposals are not stopped early: Optuna's Gaussian process learns from complete ones alone."""
_LEAST_STARTUP, _MOST_STARTUP = 4, 10
"""Random proposals before TPE or GP begins to choose: a third of all, within these bounds (Optuna's default is 10)."""


def make_sampler(name: str, *, seed: int, num_samples: int) -> BaseSampler:
    """A sampler of Optuna.

    Args:
        name: of `SAMPLERS`.
        seed: must differ after a restart, since a sampler does not remember what it drew.
        num_samples: proposals in all.
    """
    from optuna import samplers

    startup = max(_LEAST_STARTUP, min(_MOST_STARTUP, num_samples // 3))
    if name == "tpe":
        return samplers.TPESampler(seed=seed, n_startup_trials=startup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna_experimental())
        if name == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        if name == "qmc":
            return samplers.QMCSampler(
                # One sequence, whose next point is kept in the journal: no seed of a restart may change it.
                seed=0,
                scramble=True,
                independent_sampler=samplers.RandomSampler(seed=seed),
                warn_asynchronous_seeding=False,
                warn_independent_sampling=False,
            )
    return samplers.RandomSampler(seed=seed)


def optuna_experimental() -> type[Warning]:
    """What Optuna warns with when a class may change between its versions; ours is pinned."""
    from optuna.exceptions import ExperimentalWarning

    return ExperimentalWarning


def grid_points(space: Space, num_samples: int, asked: set[str], base: Mapping[str, Value]) -> list[dict[str, Value]]:
    """The proposals of sampler `grid`: the product of what `--set` named and of the learning rate.

    A range has as many points as leave no more than `num_samples` combinations; whatever was not named stays at the
    grid's own value.

    Raises:
        UserError: the named values alone have more combinations, or leave no room for two points of a range.
    """
    named = [each for each in space.dimensions if each.name == "lr" or each.name in asked]
    choices = [each for each in named if isinstance(each.domain, Choice)]
    ranges = [each for each in named if not isinstance(each.domain, Choice)]
    combinations = 1
    for each in choices:
        combinations *= len(points(each.domain, 1))
    count = int((num_samples / combinations) ** (1 / len(ranges)) + 1e-9) if ranges else 0
    if combinations > num_samples or (ranges and count < 2):
        needed = combinations * 2 ** len(ranges)
        raise UserError(f"--samples {num_samples} are too few for this grid; give {needed} or more, or fewer values")
    own = space.own(base)
    names = [each.name for each in named]
    combined = itertools.product(*(points(each.domain, count) for each in named))
    return [{**own, **dict(zip(names, point, strict=True))} for point in combined]
