"""The contract of a pretraining objective: a layout, an endless stream, a held-out set, a figure of merit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.base import Batch, Layout, Stream


@dataclass(frozen=True)
class Objective:
    """What is learned and how it is judged; the same words as a task's (`tasks.base`).

    Attributes:
        layout: tokens, inputs and predictions of one example.
        stream: endless training examples on the CPU.
        held_out: examples that are never trained on.
        ties_output: the output layer is the transpose of the embedding, as in GPT-2.
        metric: name of the figure of merit in curve and card.
        measure: (loss in nats per prediction, accuracy) of the held-out set -> figure of merit.
        is_better_lower: direction of the figure of merit.
        source: what the data were, for the card: names, checksums, arguments.
    """

    layout: Layout
    stream: Stream
    held_out: Batch
    ties_output: bool
    metric: str
    measure: Callable[[float, float], float]
    is_better_lower: bool
    source: dict[str, str]
