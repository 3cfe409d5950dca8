"""Ledgers whose answers are known: for every claim, rows whose effects are set to given values pair by pair.

Used by benchmarks/claims.py and by tests/analysis.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import Frames
from study.ledger_schema import CURVES, RUNS
from study.spec import RunSpec

Values = NDArray[np.float64]
BASE, FLOOR, CHANCE = 0.6, 0.3, 0.1
"""Accuracy of the side that a claim compares with, best trivial predictor, uniform guess."""
RATES = (1e-3, 1e-4, 1e-5)
_FIELDS = [one.name for one in dataclasses.fields(RunSpec)]


@dataclass
class Study:
    """Rows as they are made.

    Attributes:
        seeds: of every cell.
        accuracy: [seeds] of the side that is compared with; BASE if left out.
        rows, curves, attention: of the ledger.
    """

    seeds: Sequence[int]
    accuracy: Values | float = BASE
    floor: float = FLOOR
    rows: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    attention: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, task: str, accuracy: Values | float, *, columns: Mapping[str, Any] | None = None, **axes: Any
    ) -> list[str]:
        """A cell: one run per seed with this accuracy; returns the run ids."""
        values = np.broadcast_to(accuracy, len(self.seeds))
        ids = []
        for seed, value in zip(self.seeds, values.tolist(), strict=True):
            row = {**_usual(), "task": task, "seed": seed, "body_seed": 0, "lr": RATES[0], **axes}
            row |= dict.fromkeys(("valid_accuracy", "test_accuracy", "train_accuracy"), value)
            row |= {"floor_accuracy": self.floor, "run_id": f"{len(self.rows):016x}", **(columns or {})}
            ids.append(row["run_id"])
            self.rows.append(row)
        return ids

    def frames(self) -> Frames:
        """The ledger that these rows make."""
        runs = pd.DataFrame(self.rows, columns=[*RUNS.names, "setting"])
        curves = pd.DataFrame(self.curves, columns=CURVES.names)
        return Frames("made", runs, curves, runs.head(0)[["run_id", *_FIELDS]])

    def masses(self) -> pd.DataFrame:
        """Attention as `analysis.attention.mass` gives it."""
        return pd.DataFrame(self.attention, columns=["run_id", "task", "mass_on_relevant", "uniform", "untrained"])


@functools.cache
def _usual() -> dict[str, Any]:
    spec = RunSpec(task="bit-xor", num_steps=1000, eval_every_steps=100)
    return {
        **spec.as_columns(),
        "status": "done",
        "setting": "",
        "chance_accuracy": CHANCE,
        "num_params_total": 1e8,
        "num_steps_done": 1000,
        "wall_seconds": 100.0,
    }


FPT = {"init": "language", "train_set": "fpt"}
RANDOM = {"init": "random", "train_set": "fpt"}
FULL = {"init": "random", "train_set": "full"}
NORMS = {"init": "language", "train_set": "output+layernorm"}
# Side whose accuracy is the other one's plus the effect, and the other one.
SIDES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fpt-matches-full": (FPT, {**FULL, "lr": 1e-4, "num_layers": 3}),
    "fpt-not-worse-than-full": (FPT, FULL),
    "language-beats-random": (FPT, RANDOM),
    "language-beats-bit-memory": (FPT, {**FPT, "init": "bit-memory"}),
    "language-beats-vision": (FPT, {**FPT, "init": "vision", "body": "vit"}),
    "transformer-beats-lstm": (RANDOM, {**RANDOM, "body": "lstm", "lr": 3e-4}),
    "residuals-help-lstm": ({**RANDOM, "body": "lstm-residual"}, {**RANDOM, "body": "lstm"}),
    "statistics-do-not-explain": (FPT, {**FPT, "init": "statistics"}),
    "output-only-is-poor": (FPT, {**FPT, "train_set": "output-only", "features": "cached", "lr": 1e-2}),
    "depth-mixes-tokens": (NORMS, {**NORMS, "num_layers": 1}),
    "fewer-layers-suffice": (NORMS, {**NORMS, "init": "random"}),
    "training-feedforward-helps": ({**FPT, "train_set": "fpt+feedforward"}, FPT),
    "training-attention-diverges": (FPT, {**FPT, "train_set": "fpt+attention"}),
    "layernorm-matters-most": (NORMS, {**NORMS, "train_set": "output+positions"}),
    "other-models-alike": ({**FPT, "body": "bert"}, FPT),
}


def _sides(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    a, b = SIDES[claim]
    if "a" in sides:
        study.add(task, study.accuracy + effect, **a)
    if "b" in sides:
        study.add(task, study.accuracy, **b)


def _speed(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    for side, axes, steps in (("a", FPT, 200.0 + 0 * effect), ("b", RANDOM, 200.0 * np.exp(effect))):
        if side in sides:
            for run_id, step in zip(study.add(task, study.accuracy, **axes), steps.tolist(), strict=True):
                study.curves += curve(run_id, step, float(np.mean(study.accuracy)))


def curve(run_id: str, step: float, accuracy: float) -> list[dict[str, Any]]:
    """At chance until just before a step, at the accuracy from there on."""
    before, after = [0.0, step - 1], [step + i for i in range(12)]
    points = [*((at, CHANCE) for at in before), *((at, accuracy) for at in after)]
    common = {"run_id": run_id, "split": "valid", "attempt": "", "num_examples": 1000}
    return [{**common, "step": at, "accuracy": value, "train_flops": at, "wall_seconds": at} for at, value in points]


def _gap(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    for side, axes, gap in (("a", FPT, effect), ("b", FULL, 0.3 + 0 * effect)):
        if side in sides:
            before = len(study.rows)
            study.add(task, study.accuracy, **axes)
            for row, own in zip(study.rows[before:], gap.tolist(), strict=True):
                row["train_accuracy"] = row["test_accuracy"] + own


def _size(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    for i, size in enumerate(("base", "medium", "large") if "b" in sides else ("base",)):
        study.add(task, study.accuracy + i * effect, columns={"num_params_total": 1e8 * 2**i}, size=size, **FPT)


def _fast(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    cached = {**FPT, "train_set": "output-only", "features": "cached"}
    for side, axes, seconds in (("a", cached, np.exp(-effect)), ("b", FPT, 1.0 + 0 * effect)):
        if side in sides:
            before = len(study.rows)
            study.add(task, study.accuracy, **axes)
            for row, own in zip(study.rows[before:], seconds.tolist(), strict=True):
                row["wall_seconds"] = own


def _attention(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    ids = study.add(task, study.accuracy, **FPT)
    if "b" in sides:
        study.attention += [
            {"run_id": run_id, "task": task, "mass_on_relevant": 0.4 + value, "uniform": 0.2, "untrained": 0.4}
            for run_id, value in zip(ids, effect.tolist(), strict=True)
        ]


def _swept(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    """The second learning rate is the best on validation; the third would be on the test split."""
    a, b = ({**FPT, "train_set": "full"}, FPT) if claim == "tuned-unfrozen-beats-frozen" else (FPT, RANDOM)
    for side, axes, accuracy in (("a", a, study.accuracy + effect), ("b", b, study.accuracy + 0 * effect)):
        for rate, lift in zip(RATES, (-0.1, 0.0, 0.1), strict=True):
            if side in sides:
                before = len(study.rows)
                study.add(task, accuracy + lift, **{**axes, "lr": rate})
                for row in study.rows[before:]:
                    row["valid_accuracy"] -= 1.5 * max(lift, 0.0)


def _inverted(study: Study, claim: str, task: str, effect: Values, sides: str) -> None:
    """The task of the claim is one; what is varied instead is the learning rate."""
    full = {**FPT, "train_set": "full"}
    rate = {"bit-xor": 1e-3, "listops": 1e-4, "homology": 1e-5, "bit-memory": 1e-6}[task]
    ahead, behind = (FPT, full) if rate == RATES[0] else (full, FPT)
    if "a" in sides:
        study.add("cifar10-lra", study.accuracy + effect, **{**ahead, "lr": rate})
    if "b" in sides:
        study.add("cifar10-lra", study.accuracy, **{**behind, "lr": rate})


MADE_BY: dict[str, Callable[[Study, str, str, Values, str], None]] = {
    "fpt-converges-sooner": _speed,
    "speed-up-is-1-to-4": _speed,
    "fpt-overfits-not": _gap,
    "accuracy-grows-with-size": _size,
    "output-only-is-fast": _fast,
    "attention-finds-bits": _attention,
    "tuned-unfrozen-beats-frozen": _swept,
    "tuned-language-beats-random": _swept,
    "lower-rate-inverts": _inverted,
}


def add_claim(study: Study, claim: str, effects: Mapping[str, Values], sides: str = "ab") -> Study:
    """Put rows of a claim into a study.

    Args:
        study: gets them.
        claim: id.
        effects: by task, [seeds] in the scale of the claim's bounds.
        sides: "ab"; with one of them alone the claim was not run.
    """
    for task, effect in effects.items():
        MADE_BY.get(claim, _sides)(study, claim, task, np.asarray(effect, dtype=float), sides)
    return study
