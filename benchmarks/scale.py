"""Ten thousand runs that train nothing, through the whole path: what the study itself costs, and what it leaves.

    python benchmarks/scale.py --write benchmarks/scale.md      # 10,000 runs, a few minutes
    python benchmarks/scale.py --runs 500                       # a look

Everything is as in `study run` on a private runtime with two processors, but for the engine, which measures nothing at
once. Processor seconds are those of all processes of a step, and hold on a machine that is busy with other things too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from study.provenance import versions
from study.spec import RunSpec

NUM_RUNS = 10_000
_PROCESSORS = "2"
_LIMITS = {
    "overhead": ("own overhead per run, ms of wall time", 5.0),
    "memory": ("driver's memory, GiB", 1.5),
    "files": ("files in the ledger", 500),
    "status": ("`study status`, s", 2.0),
    "again": ("`study run` where all is done, s", 10.0),
}


def trivial() -> list[RunSpec]:
    """The grid: one task, as many seeds as there are runs."""
    base = RunSpec(
        task="bit-xor",
        task_args={"num_valid_examples": 16, "num_test_examples": 16},
        size="nano",
        num_layers=1,
        init="random",
        num_steps=100,
        eval_every_steps=50,
    )
    return [dataclasses.replace(base, seed=seed) for seed in range(NUM_RUNS)]


def trial() -> type:
    """A trial whose engine measures nothing at once; the class travels to the workers by value."""
    from study.measurements import Evaluated, Finished, Measurement
    from study.trainable import StudyTrial

    class TrivialEngine:
        step = 0

        def __init__(self, runs: Sequence[RunSpec], **_: Any) -> None:
            self.runs = runs

        def rounds(self) -> Iterator[list[Measurement]]:
            for step in (0, 50, 100):
                self.step = step
                yield [Evaluated(run.run_id, step, "valid", 16, 0.7, 0.5, 1e-3, None, 1.0, 0.0) for run in self.runs]
            metrics = [0.5, 0.7] * 3
            yield [Finished(run.run_id, "done", 0, 100, *metrics, 0.5, 10, 5, 1.0, 0.0) for run in self.runs]

        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            raise AssertionError("no pack takes long enough for a state")

    class TrivialTrial(StudyTrial):
        make_engine = TrivialEngine

    return TrivialTrial


def launch(out: str, num_runs: int) -> None:
    """The driver: runs the grid and prints what it took."""
    from study import trainable
    from study.launch import run_grid

    trainable.StudyTrial = trial()
    summary = run_grid(trivial()[:num_runs], out=out)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**dataclasses.asdict(summary), "max_rss_kib": memory}))


@dataclasses.dataclass(frozen=True)
class Step:
    """A command: its wall and processor seconds, its driver's alone, and the last line it printed."""

    wall: float
    cpu: float
    driver_cpu: float
    line: str


def timed(command: list[str], environment: Mapping[str, str]) -> Step:
    """Run a command, following the processor time of all its descendants."""
    from processes import descendants  # not above: `study` loads this file for its grid, without this folder

    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    seconds: dict[int, float] = {}
    while process.poll() is None:
        seconds |= descendants(process.pid)
        time.sleep(0.2)
    assert process.returncode == 0, f"{shlex.join(command)} ended with {process.returncode}"
    assert process.stdout is not None
    line = process.stdout.read().strip().splitlines()[-1]
    return Step(time.monotonic() - started, sum(seconds.values()), seconds.get(process.pid, 0.0), line)


def measure(out: str, num_runs: int) -> dict[str, Any]:
    """All steps; the measured values by name."""
    environment = {"OMP_NUM_THREADS": "1", "RAY_OVERRIDE_CPUS": _PROCESSORS}
    program = [sys.executable, str(Path(__file__).resolve())]
    first = timed([*program, "--launch", out, "--runs", str(num_runs)], environment)
    summary = json.loads(first.line)
    assert summary["done"] == num_runs, summary
    study = [sys.executable, "-m", "study"]
    options = [f"{__file__}:trivial", "--out", out, "--seeds", str(num_runs), "--json"]
    status = timed([*study, "status", *options], environment)
    again = timed([*study, "run", *options], environment)
    assert json.loads(status.line)["done"] == json.loads(again.line)["done"] == num_runs
    return {
        "runs": num_runs,
        "packs": summary["packs"],
        "wall": first.wall,
        "cpu": first.cpu,
        "driver_cpu": first.driver_cpu,
        "overhead": 1000 * first.wall / num_runs,
        "cpu_overhead": 1000 * first.cpu / int(_PROCESSORS) / num_runs,
        "memory": summary["max_rss_kib"] / 2**20,
        "files": sum(path.is_file() for path in Path(out).rglob("*")),
        "status": status.wall,
        "status_cpu": status.cpu,
        "again": again.wall,
        "again_cpu": again.cpu,
    }


def report(found: Mapping[str, Any]) -> str:
    """A Markdown page."""
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines = [
        "# Scale",
        f"`{shlex.join(['python', *sys.argv])}`",
        f"{datetime.now(UTC):%Y-%m-%d}; {platform.processor() or platform.machine()}, 2 processors, load average "
        f"{os.getloadavg()[1]:.1f} (1 would be idle but for this); {used}.",
        f"{found['runs']:,} runs in {found['packs']:,} packs, an engine that measures nothing at once, a local folder.",
        "| what | measured | limit |\n|---|---|---|\n"
        + "\n".join(f"| {text} | {found[name]:.3g} | {limit:g} |" for name, (text, limit) in _LIMITS.items()),
        f"The launch took {found['wall']:.0f} s and {found['cpu']:.0f} processor seconds, {found['driver_cpu']:.0f} of "
        f"them in the driver: {found['cpu_overhead']:.2f} ms per run on two processors that do nothing else. `study "
        f"status` took {found['status_cpu']:.1f}, the launch without work {found['again_cpu']:.1f} processor seconds.",
    ]
    return "\n\n".join(lines) + "\n"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=NUM_RUNS)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--launch", metavar="OUT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.launch:
        launch(args.launch, args.runs)
        return
    with tempfile.TemporaryDirectory(prefix="study-scale-") as folder:
        page = report(measure(f"{folder}/out", args.runs))
    print(page)
    if args.write:
        args.write.write_text(page)


if __name__ == "__main__":
    main()
