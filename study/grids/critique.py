"""The learning-rate sweep of "Don't Sweep your Learning Rate under the Rug" (Rothermel et al. 2021, arXiv 2107.12460).

{Frozen, Unfrozen} x {Random, Pretrained}, each at every learning rate. Early stopping is the selection on the
validation split that every run has.
"""

from __future__ import annotations

from dataclasses import replace

from study.grids.cells import Cell, Metric, Scale
from study.grids.paper_settings import COLUMNS
from study.grids.variants import Variant, runs_of
from study.spec import RunSpec

# "1e-6 ... 1e-2, logarithmically" (section 3); the spacing is not known to us. Two per decade: on either side of a best
# learning rate an error by a factor of 1.7 remains, and the rates that it names (1e-3, 1e-4, 1e-5) are among them. At
# small scale a decade higher: a few hundred steps of less than 1e-5 change nothing, and a narrower body bears more, so
# that its best rate lies near 1e-2, and an end of the sweep cannot be called best.
LEARNING_RATES = {
    Scale.FULL: (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    Scale.SMALL: (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
}
VARIANTS = {
    "Frozen Random": Variant(init="random"),
    "Frozen Pretrained": Variant(),
    "Unfrozen Random": Variant(init="random", train_set="full"),
    "Unfrozen Pretrained": Variant(train_set="full"),
}
# The critique's tasks. At small scale images that need no download stand beside them.
TASKS = {
    Scale.FULL: ("listops", "mnist", "cifar10", "cifar10-lra"),
    Scale.SMALL: ("listops", "mnist", "cifar10", "cifar10-lra", "digits"),
}
# Section 3: batch 8, and these steps at most. Readings: a hundred of a run.
BATCH_SIZE = 8
NUM_STEPS = {"listops": 300_000, "mnist": 400_000, "cifar10": 400_000, "cifar10-lra": 300_000}
NUM_READINGS = 100


def table_1(scale: Scale) -> list[Cell]:
    """Test accuracy of the four variants, each at its best learning rate on the validation split."""
    return [
        Cell("C1", name, COLUMNS[task], tuple(sweep(variant, task, scale)), Metric.TUNED_TEST_ACCURACY)
        for name, variant in VARIANTS.items()
        for task in TASKS[scale]
    ]


def sweep(variant: Variant, task: str, scale: Scale) -> list[RunSpec]:
    """One variant at every learning rate."""
    runs = [run for lr in LEARNING_RATES[scale] for run in runs_of(replace(variant, lr=lr), task, scale)]
    if scale is Scale.SMALL:
        return runs
    steps = {"num_steps": NUM_STEPS[task], "eval_every_steps": NUM_STEPS[task] // NUM_READINGS}
    return [replace(run, batch_size=BATCH_SIZE, **steps) for run in runs]
