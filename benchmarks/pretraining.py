"""What every recipe reaches, and how long it takes.

    python benchmarks/pretraining.py                                     # every objective for gpt2, bert and vit, nano
    python benchmarks/pretraining.py --inits language --bodies gpt2 --text 'books_*' --limit 1.0 600

`--text` takes only these files of $STUDY_DATA/text. `--limit BITS SECONDS` exits with 1 where a causal language body
does not end BITS bits per byte below the unigram entropy of the held-out text within SECONDS.

Seconds are of the training loop, its evaluations included; processor seconds do not count what other programs took.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from study.inits import PRETRAINED
from study.objectives.make import data_of
from study.pretrain import Pretraining
from study.pretraining_results import Pretrained
from study.recipes import recipe_for
from tasks.files import data_root


@dataclass(frozen=True)
class Measured:
    """One body that was made."""

    init: str
    body: str
    made: Pretrained
    seconds: float
    processor_seconds: float

    @property
    def is_below(self) -> float:
        """How far the figure ended below the baseline."""
        assert self.made.objective.baseline is not None
        return self.made.objective.baseline - self.made.curve[-1].held_out_metric

    @property
    def row(self) -> str:
        last, objective = self.made.curve[-1], self.made.objective
        corpus = objective.source.get("corpus", "")
        return (
            f"| {self.init} | {self.body} | {last.step} | {last.num_tokens:,} | {self.seconds:.0f} | "
            f"{self.processor_seconds:.0f} | {objective.metric} | {last.held_out_metric:.3f} | "
            f"{objective.baseline:.3f} | {corpus} |"
        )


def measure(init: str, body: str, size: str, num_steps: int | None) -> Measured:
    """Make one body in this process."""
    recipe = recipe_for(init, body=body, size=size, num_steps=num_steps)
    pretraining = Pretraining(recipe, data=data_of(recipe), device=torch.device("cpu"))
    started, processor_started = time.perf_counter(), time.process_time()
    while not pretraining.is_done:
        pretraining.advance()
    made = pretraining.finished()
    return Measured(init, body, made, time.perf_counter() - started, time.process_time() - processor_started)


def only(pattern: str, folder: Path) -> None:
    """Make `folder` the data folder, with those text files of the present one that match."""
    (folder / "text").mkdir()
    found = sorted((data_root() / "text").glob(pattern))
    if not found:
        sys.exit(f"no file of {data_root() / 'text'} matches {pattern}")
    for path in found:
        (folder / "text" / path.name).symlink_to(path)
    os.environ["STUDY_DATA"] = str(folder)


def header(size: str) -> list[str]:
    return [
        "# Pretraining",
        "",
        f"`python {shlex.join([Path(sys.argv[0]).as_posix(), *sys.argv[1:]])}`",
        "",
        f"{datetime.date.today()}; {os.cpu_count()} cores, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}; "
        f"size {size}. Baseline: the best predictor without context; of bit-memory, copying what is visible.",
        "",
        "| init | body | steps | tokens | seconds | processor seconds | metric | held out | baseline | corpus |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inits", nargs="+", default=list(PRETRAINED))
    parser.add_argument("--bodies", nargs="+", default=["gpt2", "bert", "vit"])
    parser.add_argument("--size", default="nano")
    parser.add_argument("--num-steps", type=int, help="instead of each recipe's own")
    parser.add_argument("--text", help="only the files of $STUDY_DATA/text with such names")
    parser.add_argument("--limit", nargs=2, type=float, metavar=("BITS", "SECONDS"), help="fail above these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = header(args.size)
    print("\n".join(lines), flush=True)
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        if args.text:
            only(args.text, Path(folder))
        for init in args.inits:
            for body in args.bodies:
                measured = measure(init, body, args.size, args.num_steps)
                print(measured.row, flush=True)
                lines.append(measured.row)
                is_limited = args.limit and measured.made.objective.metric == "bits_per_byte"
                if is_limited and (measured.is_below < args.limit[0] or measured.seconds > args.limit[1]):
                    missed.append(f"{init} {body}: {measured.is_below:.2f} bits below, {measured.seconds:.0f} s")
    if args.write:
        args.write.write_text("\n".join(lines) + "\n")
    if missed:
        sys.exit("; ".join(missed))


if __name__ == "__main__":
    main()
