"""How the rungs of scaling ladders are trained, at both scales, each choice with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models import sizes
from study.grids.cells import Scale
from study.grids.paper_settings import FULL_TASKS
from study.spec import Scalar, Schedule

FROZEN, WHOLE = "fpt", "full"
INITS = ("language", "random", "statistics")
PRETRAINED = ("language",)
"""One body for all seeds; the others are drawn anew for each."""
NUM_SEEDS = 3
"""The fewest for which intervals of fits were measured (benchmarks/fits.md)."""

# Learning rates. Where matrices of the body are trained, Adam's rate falls with one over the width (mu-transfer: Yang
# et al. 2022, arXiv 2203.03466, table 3), from one reference width; everything else that is trained (input, output,
# positions, norms) has the rate of a vector there, which does not change with the width.
LR_MATRICES, LR_MATRICES_WIDTH = 1e-3, 128
LR_VECTORS = {Scale.SMALL: 1e-2, Scale.FULL: 1e-3}
"""Full scale has the paper's rate (appendix C); few steps on small bodies need ten times as much."""
WARMUP_SHARE = 0.05
SCHEDULE = Schedule.COSINE
"""Down to zero at each rung's own last step, or a short run is a long one cut off (Hoffmann et al. 2022, sec. 3.1)."""
NUM_EVALUATIONS = 8


@dataclass(frozen=True)
class TaskLadder:
    """How one task is trained, and the rungs of its examples and steps.

    Attributes:
        batch_size: examples per step.
        num_steps: where steps are not what the ladder varies.
        num_train_examples: where examples are not what the ladder varies; None for the whole split, or endless data.
        examples: rungs of the data ladder.
        steps: rungs of the compute ladder.
        task_args: arguments of the task.
    """

    batch_size: int
    num_steps: int
    examples: tuple[int, ...]
    steps: tuple[int, ...]
    num_train_examples: int | None = None
    task_args: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Ladders:
    """The rungs of one scale.

    Attributes:
        sizes: bodies that grow in depth and width.
        depths, widths: (size, layers) of bodies of one width, and of one depth; layers None for all of them.
        body: where the size is not what varies.
        dropout: at every site.
        tasks: by name.
    """

    sizes: tuple[str, ...]
    depths: tuple[tuple[str, int | None], ...]
    widths: tuple[tuple[str, int | None], ...]
    body: str
    dropout: float
    tasks: Mapping[str, TaskLadder]


# Small scale: bodies of 12 thousand to 786 thousand parameters, each half as large again to four times as large as the
# one before, all of them pretrained in minutes.
_SMALL_TASKS = {
    # Two strings of 60 bits in patches of 20: nine tokens. Trained whole, one layer of width 32 ends 200 steps at 9 %
    # error, two of 64 at 3.5 % and none at zero; frozen, narrow random bodies stay at the floor of 25 %.
    "bit-memory": TaskLadder(
        batch_size=16,
        num_steps=200,
        examples=(32, 64, 128, 256, 512, 1024),
        steps=(25, 50, 100, 200, 400),
        task_args={
            "num_patterns": 2,
            "num_bits": 60,
            "patch_size": 20,
            "num_valid_examples": 64,
            "num_test_examples": 256,
        },
    ),
    "digits": TaskLadder(batch_size=16, num_steps=200, examples=(32, 64, 128, 256, 512, 1024),
                         steps=(25, 50, 100, 200, 400), num_train_examples=1024),
    "listops": TaskLadder(
        batch_size=16,
        num_steps=200,
        examples=(125, 250, 500, 1000, 2000, 4000),
        steps=(25, 50, 100, 200, 400),
        num_train_examples=4000,
        task_args={
            "min_length": 4,
            "max_length": 12,
            "max_depth": 2,
            "max_args": 4,
            "max_tokens": 12,
            "num_train_examples": 4000,
            "num_valid_examples": 200,
            "num_test_examples": 1000,
        },
    ),
}  # fmt: skip
SMALL = Ladders(
    sizes=("1x32", "1x64", "2x64", "2x96", "2x128", "nano"),
    depths=tuple((size, None) for size in ("1x64", "2x64", "3x64", "4x64", "6x64")),
    widths=tuple((size, None) for size in ("2x32", "2x64", "2x96", "2x128", "2x192")),
    body="2x128",
    dropout=0.0,  # a fifth of the time; what overfits is what the ladders are to show
    tasks=_SMALL_TASKS,
)
_FULL_EXAMPLES = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000)


def _full(task: str) -> TaskLadder:
    """A third of the paper's steps, which are made to see convergence; rungs down to a fiftieth of them."""
    own = FULL_TASKS[task]
    num_steps = own.num_steps // 3
    steps = tuple(own.num_steps // share for share in (150, 60, 30, 10, 3))
    return TaskLadder(own.batch_size, num_steps, _FULL_EXAMPLES, steps, task_args=own.task_args)


FULL = Ladders(
    # The only sizes whose language bodies are published; four rungs are the fewest that a fit takes.
    sizes=("base", "medium", "large", "xl"),
    # First layers of the published bodies: nobody publishes one width at many depths.
    depths=tuple(("base", layers) for layers in (1, 2, 4, 8, None)),
    widths=(("base", None), ("medium", 12), ("large", 12), ("xl", 12)),
    body="base",
    dropout=0.1,
    tasks={task: _full(task) for task in ("bit-memory", "listops", "mnist", "cifar10")},
)
SETTINGS = {Scale.SMALL: SMALL, Scale.FULL: FULL}


def rate(scale: Scale, size: str, *, trains_matrices: bool) -> float:
    """The learning rate of a rung, by the rules above."""
    if not trains_matrices:
        return LR_VECTORS[scale]
    return LR_MATRICES * LR_MATRICES_WIDTH / sizes.shape("gpt2", size).width
