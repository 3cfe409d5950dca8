"""Made-up results for the project's own grids: the papers' tables and the scaling ladders, with ever more seeds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models import sizes
from study.grids import load_grid
from study.ledger import Ledger
from study.ledger_parts import to_bytes
from study.ledger_schema import COLUMNS_VERSION, CURVES, RUNS, to_table
from study.provenance import manifest
from study.spec import ENGINE_VERSION, RunSpec

TASKS = {
    "bit-memory": (0.5, 0.75, 1.0),
    "bit-xor": (0.5, 0.5, 1.0),
    "listops": (0.1, 0.364, 0.45),
    "mnist": (0.1, 0.114, 0.99),
    "cifar10": (0.1, 0.1, 0.75),
    "cifar10-lra": (0.1, 0.1, 0.45),
    "homology": (0.002, 0.01, 0.14),
    "digits": (0.1, 0.11, 0.97),
}
"""Task: chance, best trivial predictor and the accuracy that a good run comes to."""
GRIDS = ("all", "scaling", "scaling-small")
_SKILL = {"language": 1.0, "bit-memory": 0.97, "vision": 0.9, "statistics": 0.85, "shuffled": 0.8}
_LEAST_SKILL = 0.75
_RUNS_PER_PART = 100


def specs(num_runs: int, grids: Sequence[str] = GRIDS) -> list[RunSpec]:
    """The runs of the project's own grids, with their seeds and then with as many further ones as it takes."""
    asked = list({run.run_id: run for name in grids for run in load_grid(name)}.values())
    apart = 1 + max(run.seed for run in asked)
    more = (replace(run, seed=run.seed + apart * time) for time in itertools.count() for run in asked)
    return list(itertools.islice(more, num_runs))


def make(folder: Path, runs: Sequence[RunSpec], *, num_points: int) -> str:
    """Write a ledger of these runs, of which 1 % diverged, 1 % failed and 1 % are missing; the same each time.

    Args:
        folder: a new one.
        runs: what was asked for.
        num_points: evaluations of each run.

    Returns:
        The folder, for --out.
    """
    ledger = Ledger(str(folder))
    ledger.prepare()
    for name in ("runs", "curves"):
        (folder / name).mkdir()
    generator = np.random.default_rng(0)
    for start in range(0, len(runs), _RUNS_PER_PART):
        attempt = f"{start:032x}"
        rows = [row for spec in runs[start : start + _RUNS_PER_PART] if (row := _row(spec, attempt, generator))]
        part = f"{start:016x}.parquet"
        # Written as workers write them, without waiting for the disk.
        (folder / "curves" / part).write_bytes(to_bytes(_curves(rows, attempt, num_points, generator)))
        (folder / "runs" / part).write_bytes(to_bytes(to_table(rows, RUNS)))
    path, document = manifest(runs, grid_name="paper", command="study run paper")
    ledger.storage.commit(path, document)
    return str(folder)


def _row(spec: RunSpec, attempt: str, generator: np.random.Generator) -> dict[str, Any] | None:
    chance, floor, best = TASKS[spec.task]
    status = generator.choice(["done", "diverged", "failed", "missing"], p=[0.97, 0.01, 0.01, 0.01])
    if status == "missing":
        return None
    skill = _SKILL.get(spec.init, _LEAST_SKILL) ** (0.5 if spec.train_set == "full" else 1.0)
    skill *= min(1.0, (spec.lr / 1e-3) ** 0.2)
    skill *= 0.4 if spec.train_set == "output-only" else 0.9 if "+" in spec.train_set_name else 1.0
    skill *= 0.6 + 0.1 * min(np.log10(spec.num_train_examples or 10_000), 4)
    accuracy = float(np.clip(floor + (best - floor) * (skill - 0.2) / 0.8 + generator.normal(0, 0.01), 0, 1))
    accuracies = {f"{split}_accuracy": accuracy if status == "done" else None for split in ("valid", "test", "train")}
    num_layers, width, _ = sizes.shape(spec.body, str(spec.size))
    ended = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=int(attempt, 16))
    return {
        **spec.as_columns(),
        **accuracies,
        "schema_version": COLUMNS_VERSION,
        "engine_version": ENGINE_VERSION,
        "run_id": spec.run_id,
        "attempt": attempt,
        "status": str(status),
        "error": "CUDA out of memory" if status == "failed" else None,
        "selected_step": spec.num_steps if status == "done" else None,
        "num_steps_done": spec.num_steps if status == "done" else spec.num_steps // 2,
        "best_valid_accuracy": accuracies["valid_accuracy"],
        "chance_accuracy": chance,
        "floor_accuracy": floor,
        "num_params_total": 12 * (spec.num_layers or num_layers) * width**2,
        "num_params_trained": 9_400,
        "train_flops": 4.2e12,
        "wall_seconds": 12.5,
        "device": "NVIDIA H200",
        "pack_id": attempt[:16],
        "pack_size": 8,
        "git_revision": "0123456789abcdef",
        "versions": json.dumps({"python": "3.11.9", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.23.0"}),
        "started_at": ended - timedelta(seconds=40),
        "ended_at": ended,
    }


def _curves(rows: Sequence[dict], attempt: str, num_points: int, generator: np.random.Generator) -> pa.Table:
    """Curves that rise from chance to each run's accuracy; of a run that ended early the first half."""
    parts = []
    for row in rows:
        steps = np.linspace(0, row["num_steps"], num_points).round().astype(np.int64)
        mine = steps if row["status"] == "done" else steps[: num_points // 2]
        final = row["valid_accuracy"] or row["floor_accuracy"]
        rise = 1 / (1 + np.exp(-(mine / row["num_steps"] - 0.3 / _SKILL.get(row["init"], _LEAST_SKILL)) * 12))
        noise = generator.normal(0, 0.008, len(mine))
        accuracy = np.clip(row["chance_accuracy"] + (final - row["chance_accuracy"]) * rise + noise, 0, 1)
        parts.append({"run_id": np.repeat(row["run_id"], len(mine)), "step": mine, "accuracy": accuracy})
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    number = len(joined["step"])
    given = {
        **joined,
        "attempt": np.repeat(attempt, number),
        "split": np.repeat("valid", number),
        "num_examples": np.full(number, 1000),
        "loss": 2.0 - joined["accuracy"],
        "lr": np.full(number, 1e-3),
        "examples_per_second": np.full(number, 400.0),
        "train_flops": 5e9 * joined["step"],
        "wall_seconds": 0.01 * joined["step"],
    }
    return pa.Table.from_arrays([pa.array(given[field.name]).cast(field.type) for field in CURVES], schema=CURVES)
