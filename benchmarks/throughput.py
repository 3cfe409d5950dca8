"""Trial-steps per second of the engine at several pack sizes, against one loop in the manner of the released code.

    python benchmarks/throughput.py                         # all cells that fit the time limit, table on stdout
    python benchmarks/throughput.py --sizes nano --tasks bit-xor --packs 1 8 --write benchmarks/throughput.md

All variants of a cell are built first and then measured in turns, so a machine that slows down slows all of them;
the table gives the median over the rounds, and the ratio is the median of the ratios of one round.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ray
import torch
import transformers
from released_loop import ReleasedLoop

from models.bodies import architecture
from models.initialise import body_state
from study.assemble import heads_of
from study.spec import RunSpec
from study.training import Training
from tasks.base import Batch, Layout, Split, Stream, Task


@dataclass(frozen=True)
class Shape:
    """A task's token layout and the batch size it is measured with."""

    layout: Layout
    batch_size: int


SHAPES = {
    "bit-xor": Shape(Layout(10, 1, None, 5, 1, 2), 16),
    "bit-memory": Shape(Layout(120, 50, None, 20, 50, 2), 4),
    "cifar10": Shape(Layout(64, 48, None, 1, 1, 10), 16),
    "listops": Shape(Layout(512, None, 15, 1, 1, 10), 4),
}


class SameBatch:
    """A stream that hands out one random batch: the data cost nothing, on both sides."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self.layout, self.device = layout, device

    def draw(self, num_examples: int) -> Batch:
        inputs, targets = random_batch(self.layout, num_examples, self.device)
        return Batch(inputs, targets)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {}

    def load_state_dict(self, state: object) -> None:
        pass

    def examples(self) -> Batch:
        return self.draw(1)


class ShapeTask(Task):
    """Random numbers in the layout of a real task."""

    name = "shape"
    protocol_note = "none"
    chance_accuracy = floor_accuracy = 0.5
    floor_predictor = "none"

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def num_examples(self, split: Split) -> int | None:
        return None if split == "train" else 1

    def check(self) -> None:
        pass

    def stream(self, seed: int, device: torch.device, num_train_examples: int | None = None) -> Stream:
        return SameBatch(self.layout, device)

    def split(self, name: Split, device: torch.device) -> Batch:
        return SameBatch(self.layout, device).draw(1)


def random_batch(layout: Layout, num_examples: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (num_examples, layout.num_tokens)
    if layout.num_symbols is None:
        inputs = torch.randn(*shape, layout.num_features or 1, device=device)
    else:
        inputs = torch.randint(layout.num_symbols, shape, device=device)
    num_targets = layout.num_readouts * layout.num_targets
    return inputs, torch.randint(layout.num_classes, (num_examples, num_targets), device=device)


def engine(size: str, shape: Shape, num_runs: int, precision: str, dropout: float, device: torch.device) -> Training:
    arch = architecture("gpt2", size=size)
    body = body_state(arch, "random", seed=0)
    runs = [
        RunSpec(
            task="bit-xor",
            size=size,
            init="random",
            batch_size=shape.batch_size,
            dropout=dropout,
            precision=precision,
            num_steps=10**6,
            eval_every_steps=10**6,
            seed=seed,
        )
        for seed in range(num_runs)
    ]
    bodies = [body] * num_runs
    return Training(runs, task=ShapeTask(shape.layout), architecture=arch, bodies=bodies, device=device)


def released(size: str, shape: Shape, dropout: float, device: torch.device) -> ReleasedLoop:
    batch = random_batch(shape.layout, shape.batch_size, device)
    config = architecture("gpt2", size=size).config
    return ReleasedLoop(config, heads=heads_of(shape.layout), batch=batch, dropout=dropout)


def seconds(advance: Callable[[int], None], num_steps: int, device: torch.device) -> float:
    started = time.perf_counter()
    advance(num_steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / num_steps


def measure(args: argparse.Namespace, size: str, task: str, device: torch.device) -> list[str]:
    """Table rows of one cell."""
    shape = SHAPES[task]
    loop = released(size, shape, args.dropout, device)
    once = max(seconds(loop.advance, 1, device), seconds(loop.advance, 1, device))
    variants: dict[tuple[str, int], Callable[[int], None]] = {}
    for precision in args.precisions:
        for num_runs in args.packs:
            if once * num_runs * args.rounds < args.cell_seconds:
                variants[precision, num_runs] = engine(size, shape, num_runs, precision, args.dropout, device).advance
    for advance in variants.values():
        advance(2)
    plain: list[float] = []
    packed: dict[tuple[str, int], list[float]] = {key: [] for key in variants}
    for _ in range(args.rounds):
        steps = max(1, min(50, int(args.round_seconds / once)))
        plain.append(seconds(loop.advance, steps, device))
        for key, advance in variants.items():
            steps = max(1, min(50, int(args.round_seconds / once / key[1])))
            packed[key].append(seconds(advance, steps, device) / key[1])
    rows = [f"| {size} | {task} | released loop | fp32 | 1 | {statistics.median(plain) * 1e3:.1f} | 1.00 |"]
    for (precision, num_runs), times in packed.items():
        ratio = statistics.median(a / b for a, b in zip(plain, times, strict=True))
        median = statistics.median(times) * 1e3
        rows.append(f"| {size} | {task} | engine | {precision} | {num_runs} | {median:.1f} | {ratio:.2f} |")
    skipped = [str(k) for k in args.packs if (args.precisions[0], k) not in variants]
    if skipped:
        rows.append(f"| {size} | {task} | engine | | {', '.join(skipped)} | over the time limit | |")
    return rows


def header(args: argparse.Namespace, device: torch.device) -> list[str]:
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu_name()
    return [
        "# Throughput",
        "",
        f"`python {shlex.join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]])}`",
        "",
        f"{datetime.date.today()}; {name}, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, ray {ray.__version__}; "
        f"median of {args.rounds} interleaved rounds; dropout {args.dropout} on both sides; random weights.",
        "",
        "Milliseconds per trial-step: a pack's step divided by the runs in it. Ratio: released loop over engine.",
        "",
        "| body | task | loop | precision | K | ms per trial-step | ratio |",
        "|---|---|---|---|---|---|---|",
    ]


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["nano", "mini", "base"])
    parser.add_argument("--tasks", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--packs", nargs="+", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--precisions", nargs="+", default=["fp32"], choices=["fp32", "bf16"])
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round-seconds", type=float, default=1.0, help="time of one variant in one round, about")
    parser.add_argument("--cell-seconds", type=float, default=120.0, help="leave out packs that would take longer")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    lines = header(args, device)
    print("\n".join(lines), flush=True)
    for size in args.sizes:
        for task in args.tasks:
            rows = measure(args, size, task, device)
            print("\n".join(rows), flush=True)
            lines += rows
    if args.write:
        args.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
