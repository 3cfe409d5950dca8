"""Training as a search needs it: runs leave the pack with their proposal, and the test split is never read."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch

from study.measurements import Metrics
from study.training import Training
from tasks.base import Batch, Split, Stream, Task


class Blind(Task):
    """A task that refuses to show its test split, whoever asks."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.protocol, self.layout = task.protocol, task.layout
        self.chance_accuracy, self.accuracy_scale = task.chance_accuracy, task.accuracy_scale

    @property
    def floor_accuracy(self) -> float:
        """Of the test split, so nobody's business here."""
        raise AssertionError("a search reads no test split")

    def num_examples(self, split: Split) -> int | None:
        """As of the task itself."""
        return self._task.num_examples(split)

    def check(self) -> None:
        """Would read every file."""
        raise AssertionError("a search reads no test split")

    def stream(self, seed: int, device: torch.device, num_train_examples: int | None = None) -> Stream:
        """As of the task itself."""
        return self._task.stream(seed, device, num_train_examples)

    def split(self, name: Split, device: torch.device) -> Batch:
        """As of the task itself, but for the test split."""
        assert name != "test", "a search reads no test split"
        return self._task.split(name, device)


class SearchTraining(Training):
    """A pack whose runs are validated and may be dropped; where one ends otherwise it has diverged.

    Args:
        task: what is learned; its test split is hidden.
        others: of `Training`.
    """

    def __init__(self, *args: Any, task: Task, **others: Any) -> None:
        super().__init__(*args, task=Blind(task), **others)

    def drop(self, run_ids: Collection[str]) -> None:
        """Go on without these runs; to be called right after a list of evaluations."""
        self._keep([row for row, run in enumerate(self.runs) if run.spec.run_id not in run_ids])

    def _measure(self, split: Split, matrix: torch.Tensor, rows: Sequence[int]) -> Metrics:
        if split == "valid":
            return super()._measure(split, matrix, rows)
        return Metrics([math.nan] * len(rows), [math.nan] * len(rows))
