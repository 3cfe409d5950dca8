"""Runs of the small ladders with known laws: what a ledger of `scaling-small` might hold, without training."""

from functools import cache

import numpy as np
import pandas as pd

from models.sizes import shape
from study.grids import load_grid
from study.spec import RunSpec

make_run = None
"""`synthetic.run`, set by the fixture: these modules are loaded by path and cannot import each other."""
FLOOR = {"language": 0.01, "random": 0.03, "statistics": 0.03}
EXPONENT = {"language": 0.5, "random": 0.3, "statistics": 0.3}


def num_params(spec: RunSpec) -> tuple[int, int]:
    """All, and those trained, by the leading terms."""
    depth, width, _ = shape(spec.body, str(spec.size))
    sizes = {"output": 41 * width, "input": 21 * width, "positions": 9 * width, "layernorm": 4 * depth * width}
    sizes |= {"attention": 4 * depth * width**2, "feedforward": 8 * depth * width**2}
    return sum(sizes.values()), sum(sizes[group] for group in spec.groups)


def error_of(spec: RunSpec) -> float:
    """Frozen bodies stay at the floor of the task; whole ones follow a power law in parameters, examples and steps."""
    if spec.train_set_name == "fpt":
        return 0.25
    examples = 1.0 if spec.num_train_examples is None else 1 + (40 / spec.num_train_examples) ** 0.7
    steps = (spec.num_steps / 200) ** -0.4
    size = (num_params(spec)[0] / 15_000) ** -EXPONENT[spec.init]
    return FLOOR[spec.init] + 0.1 * size * examples * steps


@cache
def runs(grid: str, task: str = "bit-memory") -> pd.DataFrame:
    """Rows of the ledger, as `analysis.load` gives them."""
    return pd.DataFrame(rows(grid, task))


def rows(grid: str, task: str = "bit-memory") -> list[dict]:
    """The same, as they are written."""
    return [_row(spec) for spec in load_grid(grid) if spec.task == task]


def _row(spec: RunSpec) -> dict:
    total, trained = num_params(spec)
    noise = np.random.default_rng([int(spec.run_id[:8], 16), spec.seed]).standard_normal()
    error = error_of(spec) + (0.003 if spec.train_set_name == "fpt" else 0.03 * error_of(spec)) * noise
    row = make_run(accuracy=1 - error, floor=0.75, **{name: getattr(spec, name) for name in spec.__dataclass_fields__})
    # With few examples, training accuracy is ahead.
    ahead = 0.0 if spec.num_train_examples is None else min(error, 4 / spec.num_train_examples)
    return row | {
        "num_params_total": total,
        "num_params_trained": trained,
        "train_flops": 6.0 * total * spec.batch_size * 9 * spec.num_steps,
        "train_accuracy": 1 - error + ahead,
        "selected_step": spec.num_steps,
    }


def curves(rows: list[dict]) -> list[dict]:
    """Evaluations of such rows: accuracy nears its end exponentially, that of training batches from above."""
    points = []
    for row in rows:
        for step in range(0, row["num_steps"] + 1, row["eval_every_steps"]):
            share = step / row["num_steps"]
            rise = (1 - np.exp(-4 * share)) / (1 - np.exp(-4))
            for split in ("valid", "train"):
                accuracy = 0.5 + (row[f"{split.replace('valid', 'test')}_accuracy"] - 0.5) * rise
                points.append({
                    "run_id": row["run_id"], "step": step, "split": split, "num_examples": 1000, "loss": 1.0,
                    "accuracy": float(accuracy), "lr": 1e-3, "examples_per_second": 400.0,
                    "train_flops": row["train_flops"] * share, "wall_seconds": row["wall_seconds"] * share,
                })  # fmt: skip
    return points
