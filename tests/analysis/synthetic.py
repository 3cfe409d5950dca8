"""Ledgers with known contents, written through the real ledger."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from study.ledger import Ledger
from study.provenance import manifest
from study.spec import RunSpec

# Task: best trivial predictor, and final accuracy of language, bit-memory, random under (fpt, output-only, full).
TASKS = {
    "bit-memory": (0.75, ((0.995, 0.79, 0.99), (0.999, 0.80, 0.99), (0.83, 0.76, 0.985))),
    "bit-xor": (0.5, ((0.98, 0.52, 0.995), (0.93, 0.53, 0.99), (0.67, 0.51, 0.97))),
    "listops": (0.36, ((0.38, 0.24, 0.40), (0.355, 0.22, 0.39), (0.34, 0.23, 0.375))),
    "digits": (0.11, ((0.93, 0.71, 0.962), (0.91, 0.63, 0.955), (0.87, 0.60, 0.958))),
}
INITS = ("language", "bit-memory", "random")
TRAIN_SETS = ("fpt", "output-only", "full")
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert('no data here')</script> & more"


def run(task="bit-xor", *, accuracy=None, status="done", error=None, floor=0.5, **fields):
    """One row of runs, with the ledger's columns that are not the result left at plausible constants."""
    spec = RunSpec(task=task, **({"size": "nano", "num_steps": 800, "eval_every_steps": 100} | fields))
    ended = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(seconds=spec.seed)
    scores = {f"{split}_accuracy": accuracy for split in ("valid", "test", "train")}
    is_done = status == "done"
    return {
        **spec.as_columns(),
        **scores,
        "run_id": spec.run_id,
        "status": status,
        "error": error,
        "selected_step": spec.num_steps if is_done else None,
        "num_steps_done": spec.num_steps if is_done else 0 if status == "failed" else spec.num_steps // 2,
        "best_valid_accuracy": accuracy,
        "chance_accuracy": None if status == "failed" else 0.5 if task.startswith("bit") else 0.1,
        "floor_accuracy": None if status == "failed" else floor,
        "num_params_total": 812_000,
        "num_params_trained": 9_400,
        "train_flops": None if status == "failed" else 4.2e12,
        "wall_seconds": 12.5,
        "body_key": None if spec.init == "random" else f"gpt2-nano-{spec.init}-0",
        "device": "cpu",
        "pack_size": 3,
        "git_revision": "0123456789abcdef",
        "versions": '{"ray":"2.60.0","torch":"2.13.0","transformers":"5.23.0"}',
        "started_at": ended - timedelta(seconds=40),
        "ended_at": ended,
    }


def curve(row, points):
    """Validation curve of a row: points are (step, accuracy)."""
    return [
        {
            "run_id": row["run_id"],
            "step": step,
            "split": "valid",
            "num_examples": 1000,
            "loss": 1.0,
            "accuracy": accuracy,
            "lr": 1e-3,
            "examples_per_second": 400.0,
            "train_flops": 5e9 * step,
            "wall_seconds": 0.01 * step,
        }
        for step, accuracy in points
    ]


def attention(row, state, query, mass, num_places=4):
    """How a token attends: `mass` to places 0 and 2, half each, the rest to place 1; the two heads differ by 0.4."""
    weights = [mass / 2, 1 - mass, mass / 2, *[0.0] * (num_places - 3)]
    return {
        "run_id": row["run_id"],
        "state": state,
        "query": query,
        "num_examples": 32,
        "weights": weights,
        "relevant": [0, 2],
        "uniform": 2 / (query + 1),
        "head_masses": [mass - 0.2, mass + 0.2],
    }


def write(folder: Path, rows, curves=(), missing=(), attention=()) -> str:
    """A ledger of these rows, with the manifest of a launch that asked for them and for the missing ones."""
    ledger = Ledger(str(folder))
    ledger.prepare()
    ledger.append(rows, list(curves), "pack", list(attention))
    path, document = manifest([_spec(row) for row in (*rows, *missing)], grid_name="made", command="study run made")
    ledger.storage.commit(path, document)
    return str(folder)


def _spec(row) -> RunSpec:
    fields = {field.name: row[field.name] for field in dataclasses.fields(RunSpec)}
    return RunSpec(**fields | {"task_args": json.loads(row["task_args"])})


def study(folder: Path) -> str:
    """4 tasks x 3 inits x 3 train sets x 3 seeds with curves; one run diverged, one failed, three were never run."""
    generator = np.random.default_rng(7)
    rows, curves, missing = [], [], []
    for task, (floor, finals) in TASKS.items():
        for init, levels in zip(INITS, finals, strict=True):
            for train_set, final in zip(TRAIN_SETS, levels, strict=True):
                for seed in range(3):
                    axes = {"init": init, "train_set": train_set, "seed": seed, "floor": floor}
                    if (task, init, train_set) == ("listops", "bit-memory", "output-only"):
                        missing.append(run(task, **axes))
                        continue
                    if (task, init, train_set, seed) == ("digits", "random", "fpt", 2):
                        rows.append(run(task, status="failed", error=HOSTILE, **axes))
                        continue
                    noisy = float(np.clip(final + generator.normal(0, 0.012), 0, 1))
                    row = run(task, accuracy=noisy, **axes)
                    points = _learn(row["chance_accuracy"], noisy, init, generator)
                    if (task, init, train_set, seed) == ("bit-xor", "random", "full", 1):
                        row = run(task, status="diverged", **axes)
                        points = points[:4]
                    rows.append(row)
                    curves += curve(row, points)
    return write(folder, rows, curves, missing)


def _learn(start, final, init, generator):
    middle = {"language": 220, "bit-memory": 300, "random": 420}[init] * generator.uniform(0.9, 1.1)
    steps = range(0, 801, 50)
    noise = generator.normal(0, 0.006, len(steps))
    rise = [1 / (1 + np.exp(-(step - middle) / 60)) for step in steps]
    values = np.clip(start + (final - start) * np.array(rise) + noise, 0, 1)
    return list(zip(steps, values.tolist(), strict=True))
