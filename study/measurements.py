"""What training yields: evaluations while a run goes on, and one value when it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.cost import Cost

from study.spec import RunSpec


@dataclass(frozen=True)
class Evaluated:
    """One row of the ledger's curves.

    Attributes:
        run_id: which run.
        step: number of updates done.
        split: "valid": the whole split without dropout. "train": mean over the training batches since the evaluation
            before, dropout and augmentation included, each batch before its update.
        num_examples: examples behind the two means.
        loss: mean cross-entropy in nats per prediction.
        accuracy: share of right predictions, 0 to 1, times the protocol's scale.
        lr: learning rate of the last update (of the first one at step 0).
        examples_per_second: training examples of this run per second of its share of the pack's time, since the
            evaluation before; None at step 0.
        train_flops: floating-point operations of this run's updates so far.
        wall_seconds: this run's share of the seconds spent in updates so far, evaluation excluded.
    """

    run_id: str
    step: int
    split: Literal["train", "valid"]
    num_examples: int
    loss: float
    accuracy: float
    lr: float
    examples_per_second: float | None
    train_flops: float
    wall_seconds: float


@dataclass(frozen=True)
class Finished:
    """One run that ended. Its six metrics are those of the selected step, over whole splits, without dropout.

    The selected step has the highest validation accuracy, among equals the lowest validation loss; step 0 takes part.
    A run that diverged before any finite evaluation has no selected step and no metrics.
    """

    run_id: str
    status: Literal["done", "diverged"]
    selected_step: int | None
    num_steps_done: int
    valid_accuracy: float | None
    valid_loss: float | None
    test_accuracy: float | None
    test_loss: float | None
    train_accuracy: float | None
    train_loss: float | None
    best_valid_accuracy: float | None
    num_params_total: int
    num_params_trained: int
    train_flops: float
    wall_seconds: float


Measurement = Evaluated | Finished


@dataclass(frozen=True)
class Metrics:
    """Mean cross-entropy in nats and accuracy of each run of a pack over one split."""

    loss: list[float]
    accuracy: list[float]


@dataclass
class Standing:
    """What the host remembers of one run that is still in its pack."""

    spec: RunSpec
    wall_seconds: float = 0.0
    selected_step: int | None = None
    valid_accuracy: float | None = None
    valid_loss: float | None = None
    is_finite: bool = True

    def select(self, step: int, *, loss: float, accuracy: float) -> bool:
        """Take note of a validation; true where it is the best so far and finite."""
        self.is_finite = math.isfinite(loss)
        if not self.is_finite:
            return False
        is_first = self.valid_accuracy is None or self.valid_loss is None
        if not is_first and (accuracy, -loss) <= (self.valid_accuracy, -self.valid_loss):  # pyright: ignore[reportOptionalOperand]
            return False
        self.selected_step, self.valid_accuracy, self.valid_loss = step, accuracy, loss
        return True

    def finished(
        self, row: int, *, num_steps_done: int, is_diverged: bool, test: Metrics, train: Metrics, cost: Cost
    ) -> Finished:
        """The run's end; `test` and `train` were measured at the selected step and hold this run at `row`."""
        has_metrics = self.selected_step is not None
        return Finished(
            run_id=self.spec.run_id,
            status="diverged" if is_diverged else "done",
            selected_step=self.selected_step,
            num_steps_done=num_steps_done,
            valid_accuracy=self.valid_accuracy,
            valid_loss=self.valid_loss,
            test_accuracy=test.accuracy[row] if has_metrics else None,
            test_loss=test.loss[row] if has_metrics else None,
            train_accuracy=train.accuracy[row] if has_metrics else None,
            train_loss=train.loss[row] if has_metrics else None,
            best_valid_accuracy=self.valid_accuracy,
            num_params_total=cost.num_params_total,
            num_params_trained=cost.num_params_trained,
            train_flops=cost.train_flops_per_step * num_steps_done,
            wall_seconds=self.wall_seconds,
        )

    def state_dict(self) -> dict[str, Any]:
        """What changes, and the run's identity."""
        return {"run_id": self.spec.run_id} | {name: getattr(self, name) for name in _CHANGING}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of the same run."""
        assert state["run_id"] == self.spec.run_id
        for name in _CHANGING:
            setattr(self, name, state[name])


_CHANGING = ("wall_seconds", "selected_step", "valid_accuracy", "valid_loss", "is_finite")
