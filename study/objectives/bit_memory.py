"""Bit Memory as a pretraining objective: the whole body learns to recall half-hidden strings (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from study.objectives.base import Objective
from tasks.catalogue import make_task

_CPU = torch.device("cpu")


def bit_memory(task_args: Mapping[str, int | float | str | bool], *, seed: int) -> Objective:
    """The objective on strings of this layout.

    Args:
        task_args: arguments of the task `bit-memory`.
        seed: of the endless training stream, which no run shares.
    """
    task = make_task("bit-memory", protocol="fixed", args=task_args)
    return Objective(
        layout=task.layout,
        stream=task.stream(seed, _CPU),
        held_out=task.split("valid", _CPU),
        ties_output=False,
        metric="accuracy",
        measure=lambda _loss, accuracy: accuracy,
        is_better_lower=False,
        baseline=0.75,
        source={"corpus": f"generated, {', '.join(f'{name} {value}' for name, value in task_args.items())}"},
    )
