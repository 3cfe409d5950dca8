"""Whole studies for benchmarks/claims.py: one ledger with every run that the claims ask for, as a paper's grid has it.

Claims share runs here (FPT is compared with a dozen others), so their errors are as correlated as in a real study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from claim_studies import BASE, FPT, FULL, NORMS, RANDOM, RATES, Study, Values, curve
from numpy.typing import NDArray

from analysis.claims import REGISTRY, Claim
from analysis.claims.claim import PAPER_TASKS, Unit
from analysis.claims.effect import Effect, Tested, tested
from study.grids.cells import Scale
from study.grids.paper_settings import SETTINGS

TASKS = ("bit-memory", "bit-xor", "listops", "cifar10-lra")
OTHER_MODELS = ("bert", "t5", "longformer")
_SWEPT = {"batch_size": 7}  # a size that no grid of the paper has
_RANDOM_NORMS = {**NORMS, "init": "random"}


class Edge(StrEnum):
    """Where the effects of those tasks lie that decide nothing by themselves; of the others they lie at the bound.

    With one task too few far inside, `supported` is wrong, and as likely as it can be; with one too few far outside,
    `contradicted` is. This is harder than all effects at the bound, where several would have to go astray at once.
    """

    NONE = "all at the bound"
    INSIDE = "hardest for supported"
    OUTSIDE = "hardest for contradicted"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Effects of all claims at once.

    Attributes:
        shift: by how much every effect lies inside its bound, in accuracy (fraction); 0 for a null study, where
            both verdicts are wrong. Ratios are shifted by ten times as much on the logarithmic scale.
        edge: which tasks lie at the bound; of lines only.
        noise: (generator, number) -> deviations with standard deviation 1.
        spread: standard deviation of single runs (fraction).
        shared_spread: of what all runs of a task with one seed have in common.
        body_spread: of what all runs of a task on one random body have in common.
        num_seeds, num_body_seeds: crossed for random bodies; None for a body of its own per seed.
    """

    shift: float = 0.0
    edge: Edge = Edge.NONE
    noise: Callable[[np.random.Generator, int], Values]
    spread: float = 0.01
    shared_spread: float = 0.01
    body_spread: float = 0.0
    num_seeds: int = 3
    num_body_seeds: int | None = None


def _plan(task: str, axes: Mapping[str, Any]) -> dict[str, Any]:
    """Training as in the paper's own grids, so that its rows are told from those of the sweep."""
    common = SETTINGS[Scale.FULL]
    plan = common.tasks[task]
    lr = common.lstm_lr if axes.get("body", "").startswith("lstm") else plan.lr
    return {"lr": lr, "batch_size": plan.batch_size, "num_steps": plan.num_steps}


class Maker:
    """Makes one study; what runs share (seeds, random bodies) is drawn once per task."""

    def __init__(self, truth: Truth, generator: np.random.Generator) -> None:
        self.truth, self.generator = truth, generator
        self.study = Study(range(truth.num_seeds))
        number = truth.num_body_seeds or truth.num_seeds
        self.seeds = {task: truth.shared_spread * truth.noise(generator, truth.num_seeds) for task in TASKS}
        self.bodies = {task: truth.body_spread * truth.noise(generator, number) for task in TASKS}

    def cell(self, task: str, level: float, gap: float = 0.0, **axes: Any) -> list[dict]:
        """Runs of one cell around an accuracy, by body seed where the body is drawn; returns their rows."""
        truth, before = self.truth, len(self.study.rows)
        axes = {**_plan(task, axes), **axes}
        is_drawn = axes["init"] in ("random", "statistics") and axes["train_set"] != "full"
        for body in range(truth.num_body_seeds) if is_drawn and truth.num_body_seeds else (None,):
            own: Values | float = 0.0
            if is_drawn:
                own = self.bodies[task] if body is None else self.bodies[task][body]
            noise = truth.spread * truth.noise(self.generator, truth.num_seeds)
            start = len(self.study.rows)
            self.study.add(task, level + noise + self.seeds[task] + own, **axes)
            for row in self.study.rows[start:]:
                row["body_seed"] = 0 if not is_drawn else row["seed"] if body is None else body
                row["train_accuracy"] = row["test_accuracy"] + gap
        return self.study.rows[before:]

    def levels(self, task: str, cells: Mapping[float, list[dict[str, Any]]]) -> None:
        """Cells by their distance from BASE."""
        for distance, many in cells.items():
            for axes in many:
                self.cell(task, BASE + distance, **axes)


def null_study(truth: Truth, generator: np.random.Generator) -> Study:
    """One ledger with the runs of all claims, every effect at its bound plus `truth.shift`."""
    maker = Maker(truth, generator)
    for task in TASKS:
        _task(maker, task, truth.shift)
    for task in ("bit-xor", "bit-memory"):
        _attention(maker, task, truth)
    return maker.study


def _task(maker: Maker, task: str, shift: float) -> None:
    better, large = 0.0025 + shift, 0.05 + shift
    for distance, rows in (
        (0.0, maker.cell(task, BASE, gap=0.05 - shift, **FPT)),
        (-better, maker.cell(task, BASE - better, **RANDOM)),
    ):
        ratio = 1.0 if distance == 0.0 else 1.1 * np.exp(10 * shift)
        times = 200 * ratio * np.exp(0.1 * maker.truth.noise(maker.generator, len(rows)))
        for row, step in zip(rows, times.tolist(), strict=True):
            maker.study.curves += curve(row["run_id"], step, row["test_accuracy"])
    maker.cell(task, BASE - 0.04 + shift, gap=0.3, **FULL)
    deep, cached = BASE, {**FPT, "train_set": "output-only", "features": "cached", "lr": 1e-2}
    maker.levels(
        task,
        {
            -better: [
                {**FPT, "init": "bit-memory"},
                {**FPT, "init": "vision", "body": "vit"},
                {**FPT, "init": "statistics"},
                {**FPT, "train_set": "fpt+attention"},
                {**RANDOM, "body": "lstm-residual"},
                {**NORMS, "train_set": "output+positions"},
            ],
            -2 * better: [{**RANDOM, "body": "lstm"}, {**NORMS, "train_set": "input+output"}],
            better: [{**FPT, "train_set": "fpt+feedforward"}],
            0.0: [NORMS],
            -large: [{**NORMS, "num_layers": 1}, _RANDOM_NORMS],
            -2 * large: [{**_RANDOM_NORMS, "num_layers": 1}],
            0.04 - shift: [{**FPT, "body": body} for body in OTHER_MODELS],
        },
    )
    for row in maker.cell(task, deep - large, **cached):
        row["wall_seconds"] = 100 / 500 / np.exp(10 * shift + 0.1 * maker.truth.noise(maker.generator, 1)[0])
    for i, size in enumerate(("medium", "large"), start=1):
        for row in maker.cell(task, BASE + i * better, size=size, **FPT):
            row["num_params_total"] = 1e8 * 2**i
    _sweep(maker, task, better)


def _sweep(maker: Maker, task: str, better: float) -> None:
    """The second rate is the best for all; at the first, frozen is ahead, below it full training."""
    for rate, lift in zip(RATES, (-0.05, 0.0, -0.05), strict=True):
        ahead = -better if rate == RATES[0] else better
        for init, level in (("language", 0.0), ("random", -better)):
            for train_set, own in (("fpt", 0.0), ("full", ahead)):
                axes = {"init": init, "train_set": train_set, "lr": rate, **_SWEPT}
                maker.cell(task, BASE + lift + level + own, **axes)


def _attention(maker: Maker, task: str, truth: Truth) -> None:
    rows = [row for row in maker.study.rows if row["task"] == task and FPT.items() <= row.items()]
    planned = [row for row in rows if row["size"] == "base" and row["batch_size"] != _SWEPT["batch_size"]]
    noise = 0.02 * truth.noise(maker.generator, len(planned))
    maker.study.attention += [
        {
            "run_id": row["run_id"],
            "task": task,
            "mass_on_relevant": 0.5 + truth.shift + own,
            "uniform": 0.2,
            "untrained": 0.4,
        }
        for row, own in zip(planned, noise.tolist(), strict=True)
    ]


def lines_of_claims(truth: Truth, generator: np.random.Generator) -> list[tuple[Claim, list[Tested]]]:
    """The same without ledgers, for many studies: the effects of every claim at its bound, on the paper's seven tasks.

    All claims share the noise of one side (as FPT's runs are shared) and of the random bodies; differences of a point
    stand for a tenth on the logarithmic scale of ratios.
    """
    number, num_bodies = truth.num_seeds, truth.num_body_seeds or 1
    seeds, bodies = np.repeat(np.arange(number), num_bodies), np.tile(np.arange(num_bodies), number)
    shared = {task: truth.noise(generator, number)[seeds] for task in PAPER_TASKS}
    drawn = {
        task: truth.body_spread / truth.spread * truth.noise(generator, num_bodies)[bodies] for task in PAPER_TASKS
    }
    found = []
    for claim in REGISTRY.values():
        scale = 10 if claim.unit is Unit.RATIO else 1
        lines = []
        for task, middle in zip(PAPER_TASKS, _middles(claim, truth, scale), strict=True):
            noise = shared[task] - truth.noise(generator, len(seeds)) - drawn[task]
            effect = _effect(task, middle + scale * truth.spread * noise, seeds, bodies)
            lines.append(tested(effect, claim.bounds))
        found.append((claim, lines))
    return found


def _middles(claim: Claim, truth: Truth, scale: float) -> list[float]:
    """The true effect on each task."""
    low, high = claim.bounds.low, claim.bounds.high
    sign, bound = (1, low) if low is not None else (-1, high)
    assert bound is not None
    far = {Edge.INSIDE: 0.3, Edge.OUTSIDE: -0.3, Edge.NONE: 0.0}[truth.edge] * scale
    if low is not None and high is not None:
        far = min(far, (high - low) / 2)
    required = claim.combine.required(len(PAPER_TASKS))
    number = {Edge.INSIDE: required - 1, Edge.OUTSIDE: len(PAPER_TASKS) - required, Edge.NONE: 0}[truth.edge]
    shift = truth.shift * scale if low is None or high is None else min(truth.shift * scale, (high - low) / 2)
    near = bound + sign * shift
    return [bound + sign * far if i < number else near for i in range(len(PAPER_TASKS))]


def _effect(task: str, values: Values, seeds: NDArray[np.intp], bodies: NDArray[np.intp]) -> Effect:
    return Effect(
        task=task,
        line="",
        setting="",
        values=tuple(values.tolist()),
        seeds=tuple(seeds.tolist()),
        bodies=tuple(bodies.tolist()),
        a=BASE,
        b=BASE,
        floor=0.3,
        num_diverged=0,
        num_unpaired=0,
        num_other=0,
    )
