"""How much faster an epoch of the output layer is on cached features than epochs that run the body (paper table 10).

    python benchmarks/cached.py                                     # nano on one thread, table on stdout
    python benchmarks/cached.py --sizes nano base --write benchmarks/cached.md

All variants of a cell are built first and then measured in turns; a ratio is the median of the ratios of one round. The
paper says 500 to 2000 times for ListOps and CIFAR-10 LRA, "per epoch after the first": the pass over the body that
fills the cache stands in a column of its own, and after how many epochs it has paid.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import statistics
import sys
import time
from pathlib import Path

import torch
from throughput import SameBatch, Shape, ShapeTask, cpu_name, seconds

from models.bodies import architecture
from models.initialise import body_state
from study.cached import cache_features
from study.spec import Features, RunSpec
from study.training import Training
from tasks.base import Batch, Layout, Stream

SHAPES = {
    "listops": Shape(Layout(512, None, 15, 1, 1, 10), 4),
    "cifar10-lra": Shape(Layout(1024, 1, None, 1, 1, 10), 4),
}
LARGE_BATCH = 256
"""Of cached features, whose memory allows it; the body's batches are limited by that of its activations."""
NUM_EXAMPLES = 16
"""In the cache; features of a large set take as long each."""
ONLINE = ("output-only", "fpt", "full")


class Finite(SameBatch):
    """A stream over a few examples, which can be cached."""

    def examples(self) -> Batch:
        return self.draw(NUM_EXAMPLES)


class FiniteTask(ShapeTask):
    """Random numbers in the layout of a real task, a finite set of them."""

    def stream(self, seed: int, device: torch.device, num_train_examples: int | None = None) -> Stream:
        return Finite(self.layout, device)


def engine(size: str, layout: Layout, train_set: str, features: str, batch_size: int, device: torch.device) -> Training:
    arch = architecture("gpt2", size=size)
    run = RunSpec(
        task="bit-xor",
        size=size,
        init="random",
        train_set=train_set,
        features=Features(features),
        batch_size=batch_size,
        num_steps=10**6,
        eval_every_steps=10**6,
    )
    bodies = [body_state(arch, "random", seed=0)]
    return Training([run], task=FiniteTask(layout), architecture=arch, bodies=bodies, device=device)


def fill_seconds(online: Training, task: FiniteTask) -> float:
    """Of one example: the body's forward pass without dropout."""
    started = time.perf_counter()
    cache_features(online.model, task, online.streams, [standing.spec for standing in online.runs])
    return (time.perf_counter() - started) / (NUM_EXAMPLES + 2)  # one example each of the other splits


def measure(args: argparse.Namespace, size: str, name: str, device: torch.device) -> list[str]:
    """Table rows of one cell: milliseconds per example."""
    shape = SHAPES[name]
    online = {each: engine(size, shape.layout, each, "online", shape.batch_size, device) for each in ONLINE}
    batch_sizes = (shape.batch_size, LARGE_BATCH)
    cached = {each: engine(size, shape.layout, "output-only", "cached", each, device) for each in batch_sizes}
    for built in (*online.values(), *cached.values()):
        built.advance(1)
    fills: list[float] = []
    times: dict[str | int, list[float]] = {each: [] for each in (*ONLINE, *batch_sizes)}
    for _ in range(args.rounds):
        fills.append(fill_seconds(online["output-only"], FiniteTask(shape.layout)))
        for each, built in online.items():
            times[each].append(seconds(built.advance, args.online_steps, device) / shape.batch_size)
        for batch_size, built in cached.items():
            times[batch_size].append(seconds(built.advance, args.cached_steps, device) / batch_size)
    rows = []
    for against in ONLINE:
        for batch_size in batch_sizes:
            ratio = statistics.median(a / b for a, b in zip(times[against], times[batch_size], strict=True))
            slow, quick, fill = (statistics.median(own) for own in (times[against], times[batch_size], fills))
            pays = fill / (slow - quick)
            cells = [size, name, against, batch_size, f"{slow * 1e3:.3g}", f"{quick * 1e3:.3g}", f"{ratio:,.0f}"]
            rows.append(f"| {' | '.join(map(str, [*cells, f'{fill * 1e3:.3g}', f'{pays:.1f}']))} |")
    return rows


def header(args: argparse.Namespace, device: torch.device) -> list[str]:
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu_name()
    return [
        "# Epochs on cached features",
        "",
        f"`python {shlex.join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]])}`",
        "",
        f"{datetime.date.today()}; {name}, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}; median of {args.rounds} interleaved rounds; random weights, batches of "
        f"{SHAPES['listops'].batch_size} where the body runs.",
        "",
        "Milliseconds per example of an epoch in which the body runs at every step (with what is trained then), of one "
        "on cached features, their ratio, the pass over the body that fills the cache, and after how many epochs that "
        "has paid. The paper says 500 to 2000 times (table 10).",
        "",
        "| body | task | against | cached batch | body runs | cached | times as fast | filling | pays after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["nano"])
    parser.add_argument("--tasks", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--online-steps", type=int, default=2)
    parser.add_argument("--cached-steps", type=int, default=50)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    lines = header(args, device)
    print("\n".join(lines), flush=True)
    for size in args.sizes:
        for name in args.tasks:
            rows = measure(args, size, name, device)
            print("\n".join(rows), flush=True)
            lines += rows
    if args.write:
        args.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
