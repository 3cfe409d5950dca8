"""What the making of a body yields: points of a curve, and last the body."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from study.objectives.base import Objective


@dataclass(frozen=True)
class Progress:
    """One point of the curve.

    Attributes:
        step: updates done.
        train_loss: mean of the batches since the point before, nats per prediction.
        held_out_loss: on the held-out set, nats per prediction.
        held_out_metric: the objective's figure of merit on the held-out set.
        num_tokens: tokens seen.
        wall_seconds: of work; what was lost to interruptions is left out.
    """

    step: int
    train_loss: float | None
    held_out_loss: float
    held_out_metric: float
    num_tokens: int
    wall_seconds: float


@dataclass(frozen=True)
class Pretrained:
    """The finished body.

    Attributes:
        state: its tensors, float32 on the CPU, under the names of `Architecture.shapes`.
        curve: from the untrained to the finished model.
        objective: what it learned.
        train_flops: operations of all updates.
        precision: number format of matrix products on this machine.
        num_resumed: how often it was continued from a checkpoint.
    """

    state: dict[str, torch.Tensor]
    curve: tuple[Progress, ...]
    objective: Objective
    train_flops: float
    precision: str
    num_resumed: int
