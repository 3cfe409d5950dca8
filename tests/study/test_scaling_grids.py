"""Scaling ladders: one thing varies from rung to rung, in enough rungs, with learning rates by the stated rule."""

import dataclasses
import itertools
import json
from collections import defaultdict

import pytest

from models import Group
from models.sizes import shape
from study.grids.cells import Scale
from study.grids.scaling import LADDERS, MATRICES, TRAIN_SETS
from study.grids.scaling_settings import LR_VECTORS, SETTINGS
from study.spec import RunSpec

VARIED = {
    "size": {"size"},
    "depth": {"size", "num_layers"},
    "width": {"size", "num_layers"},
    "trained": {"train_set"},
    "data": {"num_train_examples"},
    "compute": {"num_steps", "eval_every_steps", "warmup_steps"},
}
EVERY = [(name, scale) for name in LADDERS for scale in Scale]


def ladders(name: str, scale: Scale) -> dict[tuple, dict[str, list[RunSpec]]]:
    """By everything that a ladder must not vary: its rungs, each with its runs."""
    found: dict[tuple, dict[str, list[RunSpec]]] = defaultdict(lambda: defaultdict(list))
    names = [field.name for field in dataclasses.fields(RunSpec)]
    free = VARIED[name] | {"lr", "seed", "body_seed"}
    for task in SETTINGS[scale].tasks:
        for run in LADDERS[name](scale, task):
            columns = run.as_columns()
            shared = tuple(columns[field] for field in names if field not in free)
            found[shared][json.dumps([columns[field] for field in sorted(VARIED[name])])].append(run)
    return found


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_a_ladder_varies_one_thing_in_four_rungs_or_more_of_three_seeds(name, scale):
    for rungs in ladders(name, scale).values():
        assert len(rungs) >= 4
        assert {len(runs) for runs in rungs.values()} == {3}
        assert all(len({run.lr for run in runs}) == 1 for runs in rungs.values())


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_rates_fall_with_width_where_matrices_are_trained_and_stay_elsewhere(name, scale):
    for task in SETTINGS[scale].tasks:
        for run in LADDERS[name](scale, task):
            width = shape(run.body, str(run.size)).width
            expected = 0.128 / width if MATRICES & set(run.groups) else LR_VECTORS[scale]
            assert run.lr == pytest.approx(expected)
            assert run.body_seed == (0 if run.init == "language" else run.seed)


def test_depth_and_width_ladders_hold_the_other_still():
    for scale in Scale:
        for name, still in (("depth", "width"), ("width", "num_layers")):
            shapes = [(shape("gpt2", size), layers) for size, layers in getattr(SETTINGS[scale], f"{name}s")]
            whole = [each._replace(num_layers=layers or each.num_layers) for each, layers in shapes]
            assert len({getattr(each, still) for each in whole}) == 1
            assert len(set(whole)) == len(whole)


def test_ever_more_is_trained():
    sets = [set(RunSpec(task="digits", train_set=one, num_steps=1, eval_every_steps=1).groups) for one in TRAIN_SETS]
    assert all(fewer < more for fewer, more in itertools.pairwise(sets)) and Group.OUTPUT in sets[0]
