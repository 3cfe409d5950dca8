"""The variants whose comparison hangs on the learning rate, at small scale: what `study search` takes by default.

As specified, their settings are those of the paper's tables at this scale; whatever is found for them holds for every
run there that has the same body, data and trained parts.
"""

from study.grids.cells import Scale, unique
from study.grids.paper_settings import SETTINGS
from study.grids.variants import Variant, runs_of
from study.spec import Protocol, RunSpec

# The critique's four, and the paper's own baseline of a trained output layer.
VARIANTS = (
    Variant(),
    Variant(init="random"),
    Variant(train_set="full"),
    Variant(init="random", train_set="full"),
    Variant(train_set="output-only"),
)


def tuning() -> list[RunSpec]:
    """Every small-scale task on five variants; three seeds, under protocol `fixed`."""
    pairs = [(task, variant) for task in SETTINGS[Scale.SMALL].tasks for variant in VARIANTS]
    runs = [run for task, variant in pairs for run in runs_of(variant, task, Scale.SMALL)]
    return unique(run for run in runs if run.protocol is Protocol.FIXED)
