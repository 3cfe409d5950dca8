"""The contract of a pretraining objective: a layout, an endless stream, a held-out set, a figure of merit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.base import Batch, Layout, Stream

IGNORED = -100
"""Target that is not predicted, as the unmasked tokens of a masked objective; neither loss nor accuracy counts it."""


@dataclass(frozen=True)
class Objective:
    """What is learned and how it is judged; the same words as a task's (`tasks.base`).

    Attributes:
        layout: tokens, inputs and predictions of one example.
        stream: endless training examples on the CPU.
        held_out: examples that are never trained on; a target that is `IGNORED` is not predicted.
        ties_output: the output layer is the transpose of the embedding, as in GPT-2.
        metric: name of the figure of merit in curve and card.
        measure: (loss in nats per prediction, accuracy) of the held-out set -> figure of merit.
        is_better_lower: direction of the figure of merit.
        baseline: figure of merit of the best trivial predictor on the held-out set; None where there is none.
        source: what the data were, for the card: names, checksums, arguments.
    """

    layout: Layout
    stream: Stream
    held_out: Batch
    ties_output: bool
    metric: str
    measure: Callable[[float, float], float]
    is_better_lower: bool
    baseline: float | None
    source: dict[str, str]
