"""A large ledger: how long it takes to read, to count and to merge, and how much memory that needs.

    python benchmarks/ledger.py                                    # a million rows in 10,000 parts
    python benchmarks/ledger.py --parts 200 --write table.md       # less, and a table in a file

Every step runs in a process of its own, on a ledger made in a temporary folder. One part in a hundred repeats the runs
of the one before, as a second execution of a pack does. Exits with 1 where a step misses its limit.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from study.ledger import Ledger
from study.ledger_parts import to_bytes
from study.ledger_schema import CURVES, RUNS
from study.spec import RunSpec

ROWS_PER_PART = 100
REPEATED = 100
"""One part in so many repeats the runs of the part before it."""
EVALUATIONS = 20
STATUS_RUNS = 10_000
GRID = """
from study.spec import RunSpec

def grid():
    spec = {"task": "bit-xor", "size": "nano", "init": "random", "num_steps": 2, "eval_every_steps": 1}
    return [RunSpec(**spec, seed=seed) for seed in range(%d)]
"""
STEP = """
import resource, sys, time
from study.ledger import Ledger
started = time.perf_counter()
answer = getattr(Ledger(sys.argv[1]), sys.argv[2])()
seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss, len(answer))
"""
TIMED = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


@dataclass(frozen=True)
class Step:
    """One line of the table.

    Attributes:
        words: what is done.
        method: of the ledger.
        max_seconds, max_gib: its limits; None where the project promises none.
    """

    words: str
    method: str
    max_seconds: float | None = None
    max_gib: float | None = None


STEPS = (
    Step("status of every run, small parts", "finished"),
    Step("every row once, small parts", "runs", 60, 4),
    Step("compaction", "compact", None, 4),
    Step("status of every run, compacted", "finished", 5, 4),
    Step("every row once, compacted", "runs", 5, 4),
    Step("compaction with nothing to do", "compact"),
)


def runs(run_ids: list[str], attempts: list[str], seed: int) -> pa.Table:
    """Rows as a real study has them: specification and origin repeat, measurements do not."""
    draw, number = np.random.default_rng(seed), len(run_ids)
    spec = RunSpec(task="bit-xor", size="nano", init="random", num_steps=2, eval_every_steps=1)
    versions = {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "ray": "2.60.0"}
    same = {
        **spec.as_columns(), "schema_version": 1, "engine_version": 1, "status": "done", "pack_size": ROWS_PER_PART,
        "body_key": "0123456789abcdef", "device": "NVIDIA H200", "git_revision": "0123456789" * 4,
        "versions": json.dumps(versions),
    }  # fmt: skip
    own = {
        "run_id": pa.array(run_ids),
        "attempt": pa.array(attempts),
        "pack_id": pa.array([attempt[:16] for attempt in attempts]),
        "ended_at": pa.array(1_767_225_600_000_000 + np.arange(number) * 1000).cast(RUNS.field("ended_at").type),
        "seed": pa.array(np.arange(number)),
    }
    columns = []
    for column in RUNS:
        if column.name in own:
            values = own[column.name]
        elif column.name in same:
            values = pa.repeat(pa.scalar(same[column.name], column.type), number)
        elif pa.types.is_floating(column.type):
            values = pa.array(draw.random(number))
        elif pa.types.is_integer(column.type):
            values = pa.array(draw.integers(0, 1_000_000, number), column.type)
        else:
            values = pa.nulls(number, column.type)
        columns.append(values)
    return pa.Table.from_arrays(columns, schema=RUNS)


def make(folder: Path, num_parts: int) -> int:
    """A ledger of parts as workers write them, without waiting for the disk; returns how many runs it holds."""
    Ledger(str(folder)).prepare()
    (folder / "runs").mkdir()
    num_runs = 0
    for number in range(num_parts):
        is_repeated = number % REPEATED == REPEATED - 1
        pack = number - is_repeated
        ids = [f"{row * 0x9E3779B97F4A7C15 % 2**64:016x}" for row in range(pack * 100, pack * 100 + ROWS_PER_PART)]
        table = runs(ids, [f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"] * ROWS_PER_PART, number)
        (folder / "runs" / f"{number:016x}.parquet").write_bytes(to_bytes(table))
        num_runs += 0 if is_repeated else ROWS_PER_PART
    return num_runs


def measured(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def row(words: str, seconds: float, cpu_seconds: float, gib: float, limit: str) -> str:
    return f"| {words} | {seconds:.1f} | {cpu_seconds:.1f} | {gib:.2f} | {limit} |"


def step_row(step: Step, folder: Path, num_runs: int) -> tuple[str, bool]:
    """The line of one step, and whether it kept its limits."""
    seconds, cpu_seconds, kib, size = measured(sys.executable, "-c", STEP, str(folder), step.method).split()
    assert step.method == "compact" or int(size) == num_runs, f"{size} rows instead of {num_runs}"
    gib = int(kib) / 2**20
    limits = [f"{step.max_seconds} s" if step.max_seconds else "", f"{step.max_gib} GiB" if step.max_gib else ""]
    kept = float(seconds) <= (step.max_seconds or float("inf")) and gib <= (step.max_gib or float("inf"))
    return row(step.words, float(seconds), float(cpu_seconds), gib, ", ".join(filter(None, limits))), kept


def status_row(folder: Path) -> tuple[str, bool]:
    """`study status` on the compacted ledger of a grid of many runs, the start of the program included."""
    out, grid = folder / "grid", folder / "grid.py"
    grid.write_text(GRID % STATUS_RUNS)
    ledger = Ledger(str(out))
    ledger.prepare()
    specs = [RunSpec(task="bit-xor", size="nano", init="random", num_steps=2, eval_every_steps=1, seed=seed)
             for seed in range(STATUS_RUNS)]  # fmt: skip
    ids, attempts = [spec.run_id for spec in specs], [f"{0:032x}"] * STATUS_RUNS
    ledger.storage.commit("runs/all.parquet", to_bytes(runs(ids, attempts, 0)))
    ledger.storage.commit("curves/all.parquet", to_bytes(curves(ids, attempts)))
    ledger.compact()
    command = [sys.executable, "-m", "study", "status", f"{grid}:grid", "--out", str(out), "--json"]
    *_, document, figures = measured(sys.executable, "-c", TIMED, *command).splitlines()
    assert json.loads(document)["done"] == STATUS_RUNS
    seconds, cpu_seconds, kib = map(float, figures.split())
    words = f"`study status` of {STATUS_RUNS:,} runs with {EVALUATIONS} evaluations each, compacted"
    return row(words, seconds, cpu_seconds, kib / 2**20, "2 s"), seconds <= 2


def curves(run_ids: list[str], attempts: list[str]) -> pa.Table:
    """`EVALUATIONS` evaluations of each run."""
    number = len(run_ids) * EVALUATIONS
    same = {"split": "valid", "num_examples": 1000, "lr": 1e-3}
    columns = []
    for column in CURVES:
        if column.name in ("run_id", "attempt"):
            of_run = run_ids if column.name == "run_id" else attempts
            values = pa.array(np.repeat(of_run, EVALUATIONS))
        elif column.name == "step":
            values = pa.array(np.tile(np.arange(EVALUATIONS), len(run_ids)))
        elif column.name in same:
            values = pa.repeat(pa.scalar(same[column.name], column.type), number)
        else:
            values = pa.array(np.random.default_rng(0).random(number))
        columns.append(values.cast(column.type))
    return pa.Table.from_arrays(columns, schema=CURVES)


def header(num_parts: int, num_runs: int) -> list[str]:
    command = shlex.join(["python", "benchmarks/ledger.py", *sys.argv[1:]])
    versions = f"Python {platform.python_version()}, pyarrow {importlib.metadata.version('pyarrow')}"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first step"
    rows = f"{num_parts * ROWS_PER_PART:,} rows of {len(RUNS)} columns in {num_parts:,} parts, {num_runs:,} runs"
    return [
        "# Ledger", "", f"`{command}`", "", f"{datetime.date.today()}; {machine}; {versions}; {rows}; local disk.", "",
        "| step | seconds | CPU seconds | peak GiB | limit |", "|---|---|---|---|---|",
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=10_000, help=f"parts of {ROWS_PER_PART} rows")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        num_runs = make(folder / "large", args.parts)
        lines, all_kept = header(args.parts, num_runs), True
        print("\n".join(lines), flush=True)
        for step in (*STEPS, None):
            line, kept = step_row(step, folder / "large", num_runs) if step else status_row(folder)
            print(line, flush=True)
            lines.append(line)
            all_kept &= kept
        files = [len(Ledger(str(folder / "large")).storage.names(each)) for each in ("runs", "curves")]
        lines += ["", f"Files after compaction: {sum(files)}."]
        print("\n".join(lines[-2:]))
    if args.write:
        args.write.write_text("\n".join(lines) + "\n")
    return 0 if all_kept else 1


if __name__ == "__main__":
    sys.exit(main())
