"""Random SIGKILLs spread over one grid: the driver, the workers, and the raylet of a second node, again and again.

    python benchmarks/faults.py --write benchmarks/faults.md        # 50 kills; half an hour
    python benchmarks/faults.py --kills 3 --runs 18                 # a look

A cluster of a head without processors and two nodes with one each runs on this machine, in separate processes. A killed
driver is started again by the same command; in the place of a lost node a new one comes. At the end every run must have
one row, equal to that of the same pack trained without Ray and undisturbed, and no temporary file or checkpoint may be
left.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import random
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from chaos import Driver, Machines

from study.execution import Execution
from study.ledger import Ledger
from study.origin import Origin
from study.packing import make_packs
from study.provenance import versions
from study.spec import RunSpec

NUM_RUNS, NUM_KILLS = 150, 50
_TARGETS = ("driver", "worker", "raylet")
_CHECKPOINT_SECONDS = 0.3
_PATIENCE_SECONDS = 90.0
"""Without a new row for so long the next kill comes all the same."""
_LONGEST_PAUSE_SECONDS = 2.0
"""Between the row that a kill waits for and the kill."""
_TIMES = ("wall_seconds", "examples_per_second", "started_at", "ended_at", "attempt", "git_revision")


def grid(num_runs: int) -> list[RunSpec]:
    """Short runs: two thirds train everything, each alone in its pack; the others train little, eight in a pack."""
    base = RunSpec(
        task="bit-xor",
        task_args={"num_valid_examples": 64, "num_test_examples": 64},
        size="nano",
        num_layers=1,
        init="random",
        num_steps=240,
        eval_every_steps=80,
        train_set="full",
    )
    alone = [dataclasses.replace(base, seed=seed) for seed in range(num_runs * 2 // 3)]
    packed = dataclasses.replace(base, train_set="fpt", num_steps=160)
    return alone + [dataclasses.replace(packed, seed=seed) for seed in range(num_runs - len(alone))]


def drive(out: str, address: str, num_runs: int) -> None:
    """The driver: a launch that writes states far more often than a user would want."""
    from study.launch import run_grid

    summary = run_grid(grid(num_runs), out=out, address=address, checkpoint_seconds=_CHECKPOINT_SECONDS)
    errors = [row["error"] for row in Ledger(out).runs().to_pylist() if row["error"]]
    assert (summary.done, summary.missing) == (num_runs, 0), f"{summary}: {errors}"


def start(out: str, machines: Machines, num_runs: int) -> Driver:
    """`drive` in a process of its own."""
    command = [sys.executable, __file__, "--drive", out, machines.cluster.address, "--runs", str(num_runs)]
    return Driver(command)


def undisturbed(out: str, num_runs: int) -> None:
    """The reference: the same packs one after the other in this process, without Ray."""
    torch.set_num_threads(1)
    ledger = Ledger(out)
    ledger.prepare()
    origin = Origin(revision=None, device=torch.device("cpu"))
    for pack in make_packs(grid(num_runs), device="cpu"):
        for _ in Execution(pack, ledger=ledger, origin=origin).steps():
            pass


def disturbed(out: str, machines: Machines, num_runs: int, kills: list[str], chance: random.Random) -> dict[str, Any]:
    """The same with kills, spread over the rows that come."""
    started = time.monotonic()
    driver = start(out, machines, num_runs)
    done: Counter[str] = Counter()
    num_before = 0
    for number, target in enumerate(kills):
        wait_for_rows(out, driver, machines, number * num_runs // (len(kills) + 1))
        time.sleep(chance.uniform(0.0, pause(num_runs, num_before, time.monotonic() - started)))
        num_rows = len(Ledger(out).finished())
        assert num_rows >= num_before, "finished runs were lost"
        num_before = num_rows
        if target == "worker":
            target = kill_worker(driver, machines, chance)
        elif target == "raylet":
            machines.replace_second()
        elif driver.has_ended():
            target = "nobody"
        else:
            driver.kill()
        done[target] += 1
        print(f"kill {number + 1}: {target}, {num_rows} of {num_runs} rows", file=sys.stderr, flush=True)
    while not driver.has_ended():
        machines.note_use()
        time.sleep(1.0)
    seconds = time.monotonic() - started
    return {"kills": dict(done), "seconds": seconds, "starts": driver.num_starts}


def pause(num_runs: int, num_rows: int, seconds: float) -> float:
    """The longest pause before a kill, s: a tenth of what is left, so that no machine is too quick to be disturbed."""
    if not num_rows:
        return 0.0
    return min(_LONGEST_PAUSE_SECONDS, 0.1 * seconds / num_rows * (num_runs - num_rows))


def kill_worker(driver: Driver, machines: Machines, chance: random.Random) -> str:
    """SIGKILL for a worker, as soon as there is one; "nobody" where none came in time or all is done."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and not driver.has_ended():
        if workers := sorted(machines.workers()):
            os.kill(chance.choice(workers), signal.SIGKILL)
            return "worker"
        time.sleep(0.1)
    return "nobody"


def wait_for_rows(out: str, driver: Driver, machines: Machines, wanted: int) -> None:
    until, last = time.monotonic() + _PATIENCE_SECONDS, 0
    while (found := len(Ledger(out).finished())) < wanted and not driver.has_ended():
        if found > last:
            until, last = time.monotonic() + _PATIENCE_SECONDS, found
        if time.monotonic() > until:
            return
        machines.note_use()
        time.sleep(0.2)


def compare(reference: str, out: str, num_runs: int) -> dict[str, Any]:
    """What must hold, asserted; how many rows are equal bit for bit, and how far the others are from it."""
    ids = sorted(run.run_id for run in grid(num_runs))
    raw = sorted(run_id for part in Path(out, "runs").iterdir() for run_id in pq.read_table(part)["run_id"].to_pylist())
    assert raw == ids, "not each run exactly once"
    expected, found = measured(reference), measured(out)
    num_equal, worst = 0, 0.0
    for run_id, (row, curves) in found.items():
        theirs, their_curves = expected[run_id]
        if row == theirs and curves == their_curves:
            num_equal += 1
            continue
        # Another company changes the order of additions, and with it the last digits.
        assert (row["pack_id"], row["pack_size"]) != (theirs["pack_id"], theirs["pack_size"]), (row, theirs)
        worst = max(worst, abs(row["test_loss"] / theirs["test_loss"] - 1))
        assert row["status"] == theirs["status"] and math.isclose(row["test_loss"], theirs["test_loss"], rel_tol=1e-3)
    left = [path for path in Path(out).rglob("*") if path.name.startswith(".") or path.parent.name == "checkpoints"]
    assert not left, f"left behind: {left}"
    return {"equal": num_equal, "worst": worst}


def measured(uri: str) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """By run id its row and its curves, without what may differ."""
    ledger, found = Ledger(uri), {}
    for row in ledger.runs().to_pylist():
        found[row["run_id"]] = ({name: row[name] for name in row if name not in _TIMES}, [])
    for row in ledger.curves().to_pylist():
        found[row["run_id"]][1].append({name: row[name] for name in row if name not in _TIMES})
    return found


def report(found: dict[str, Any], seed: int) -> str:
    """A Markdown page."""
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    rows = {
        "runs, each with exactly one row": f"{found['runs']}",
        "kills": ", ".join(f"{count} of a {target}" for target, count in sorted(found["kills"].items())),
        "launches of the driver": f"{found['starts']}",
        "nodes that joined on the way": f"{found['added']}; {found['used']} of them trained something before they went",
        "rows equal to those of undisturbed packs, bit for bit": f"{found['equal']}",
        "largest difference of a test loss among the others, which were packed otherwise": f"{found['worst']:.1e}",
        "temporary files, checkpoints, leases left": "0",
        "seconds": f"{found['seconds']:.0f}",
    }
    lines = [
        "# Faults",
        f"`{shlex.join(['python', *sys.argv])}`",
        f"{datetime.now(UTC):%Y-%m-%d}; {platform.machine()}, {os.cpu_count()} processors, load average "
        f"{os.getloadavg()[1]:.1f}; {used}; seed {seed}.",
        "SIGKILL to the driver, to workers, and to every process of a second node, its raylet first, spread over the "
        "rows of one grid; a killed driver is started again by the same command, a lost node is replaced.",
        "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return "\n\n".join(lines) + "\n"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=NUM_RUNS)
    parser.add_argument("--kills", type=int, default=NUM_KILLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--drive", nargs=2, metavar=("OUT", "ADDRESS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.drive:
        drive(*args.drive, args.runs)
        return
    chance = random.Random(args.seed)
    # Every target about as often, in a random order.
    kills = [_TARGETS[number % len(_TARGETS)] for number in range(args.kills)]
    chance.shuffle(kills)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        os.environ |= {"RAY_TMPDIR": folder, "OMP_NUM_THREADS": "1"}
        reference, out = f"{folder}/reference", f"{folder}/out"
        undisturbed(reference, args.runs)
        machines = Machines()
        try:
            found = disturbed(out, machines, args.runs, kills, chance)
        finally:
            machines.shutdown()
        found |= {"runs": args.runs, "added": machines.num_added, "used": len(machines.used)}
        found |= compare(reference, out, args.runs)
    page = report(found, args.seed)
    print(json.dumps(found), page, sep="\n")
    if args.write:
        args.write.write_text(page)


if __name__ == "__main__":
    main()
