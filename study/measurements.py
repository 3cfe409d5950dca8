"""What training yields: evaluations while a run goes on, and when it ends one value and where it looked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from models.cost import Cost
from study.first_attention import Attended
from study.optimiser import learning_rate
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


Measurement = Evaluated | Finished | Attended


@dataclass(frozen=True)
class Metrics:
    """Mean cross-entropy in nats and accuracy of each run of a pack over one split."""

    loss: list[float]
    accuracy: list[float]


@dataclass
class Standing:
    """What the host remembers of one run that is still in its pack.

    Attributes:
        spec: the run.
        cost: what it has, and what one update costs.
        wall_seconds: its share of the time spent in updates.
        window_steps, window_seconds: updates and share since its last evaluation.
        selected_step, valid_accuracy, valid_loss: of the best evaluation so far; None before a finite one.
        is_finite: whether the last validation loss was.
    """

    spec: RunSpec
    cost: Cost
    wall_seconds: float = 0.0
    window_steps: int = 0
    window_seconds: float = 0.0
    selected_step: int | None = None
    valid_accuracy: float | None = None
    valid_loss: float | None = None
    is_finite: bool = True

    def is_due(self, step: int) -> bool:
        """Whether the run is evaluated at this step: at multiples of its period and at its own last step.

        Never because a neighbour of its pack ends: more readings would be more chances to be selected.
        """
        return step % self.spec.eval_every_steps == 0 or step == self.spec.num_steps

    def worked(self, num_steps: int, seconds: float) -> None:
        """Take note of updates and of this run's share of their time."""
        self.wall_seconds += seconds
        self.window_seconds += seconds
        self.window_steps += num_steps

    def select(self, step: int, *, loss: float, accuracy: float) -> bool:
        """Take note of a validation; true where it is finite and the best so far."""
        self.is_finite = math.isfinite(loss)
        if not self.is_finite:
            return False
        best = (
            None if self.valid_accuracy is None or self.valid_loss is None else (self.valid_accuracy, -self.valid_loss)
        )
        if best is not None and (accuracy, -loss) <= best:
            return False
        self.selected_step, self.valid_accuracy, self.valid_loss = step, accuracy, loss
        return True

    def validated(self, step: int, *, num_examples: int, loss: float, accuracy: float) -> Evaluated:
        """The validation as a row."""
        return self._evaluated(step, "valid", num_examples, loss, accuracy, None)

    def trained(self, step: int, *, loss_sum: float, accuracy_sum: float) -> list[Evaluated]:
        """The updates since the last evaluation as a row, and a new window; nothing where there were none."""
        num_steps, seconds = self.window_steps, self.window_seconds
        if not num_steps:
            return []
        self.window_steps, self.window_seconds = 0, 0.0
        num_examples = num_steps * self.spec.batch_size
        loss, accuracy = loss_sum / num_steps, accuracy_sum / num_steps
        return [self._evaluated(step, "train", num_examples, loss, accuracy, num_examples / seconds)]

    def _evaluated(
        self,
        step: int,
        split: Literal["train", "valid"],
        num_examples: int,
        loss: float,
        accuracy: float,
        examples_per_second: float | None,
    ) -> Evaluated:
        return Evaluated(
            run_id=self.spec.run_id,
            step=step,
            split=split,
            num_examples=num_examples,
            loss=loss,
            accuracy=accuracy,
            lr=learning_rate(self.spec, max(1, step)),
            examples_per_second=examples_per_second,
            train_flops=self.cost.train_flops_per_step * step,
            wall_seconds=self.wall_seconds,
        )

    def finished(self, row: int, *, num_steps_done: int, is_diverged: bool, test: Metrics, train: Metrics) -> Finished:
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
            num_params_total=self.cost.num_params_total,
            num_params_trained=self.cost.num_params_trained,
            train_flops=self.cost.train_flops_per_step * num_steps_done,
            wall_seconds=self.wall_seconds,
        )

    def state_dict(self) -> dict[str, Any]:
        """What changes, and the run's identity."""
        changing = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _FIXED}
        return {"run_id": self.spec.run_id, **changing}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of the same run."""
        assert state["run_id"] == self.spec.run_id
        for name, value in state.items():
            if name != "run_id":
                setattr(self, name, value)


_FIXED = ("spec", "cost")
