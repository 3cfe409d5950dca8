"""Adam for K runs at once: row by row, each with its own learning rate, weight decay and gradient-norm limit.

The update is that of Kingma and Ba (2015) with decoupled weight decay (Loshchilov and Hutter 2019) and torch's
defaults for the betas and epsilon, as the released code uses (paper section 3: Adam, torch defaults).

Shapes: K runs, P trained parameters of one run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from study.spec import RunSpec, Schedule

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
_CLIP_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_'s

# Elements per block on a CPU: the five arrays of one block stay in the cache, so a wide row (full training) is read
# once instead of once per operation. A GPU takes all columns at once.
_BLOCK_ELEMENTS = 1 << 17


class PackedAdam:
    """Adam over a [K, P] matrix that is changed in place.

    Args:
        matrix: [K, P] parameters.
        weight_decay: K factors on the first `num_decayed` columns.
        clip_norm: K largest gradient norms; None for a run without clipping.
    """

    def __init__(
        self,
        matrix: torch.Tensor,
        *,
        num_decayed: int,
        weight_decay: Sequence[float],
        clip_norm: Sequence[float | None],
    ) -> None:
        self.num_decayed = num_decayed
        self.moment1 = torch.zeros_like(matrix)
        self.moment2 = torch.zeros_like(matrix)
        limits = [math.inf if limit is None else limit for limit in clip_norm]
        self._decays = any(weight_decay)
        self._weight_decay = matrix.new_tensor(list(weight_decay)).unsqueeze(1)
        self._clip_norm = matrix.new_tensor(limits)
        self.matrix = matrix

    @torch.no_grad()
    def step(self, step: int, *, gradients: torch.Tensor, lr: torch.Tensor) -> torch.Tensor:
        """One update; returns the [K] gradient norms before clipping, without a host synchronisation.

        Args:
            step: number of this update, from 1.
            gradients: [K, P]; overwritten.
            lr: [K] learning rates.
        """
        norms = torch.linalg.vector_norm(gradients, dim=1)
        coefficients = (self._clip_norm / (norms + _CLIP_EPSILON)).clamp_(max=1.0).unsqueeze(1)
        rates = lr.unsqueeze(1)
        if self._decays:
            self.matrix[:, : self.num_decayed].mul_(1 - rates * self._weight_decay)
        step_size = rates / (1 - BETA1**step)
        root = 1 / math.sqrt(1 - BETA2**step)
        arrays = (self.matrix, gradients, self.moment1, self.moment2)
        for matrix, gradient, moment1, moment2 in zip(*map(self._blocks, arrays), strict=True):
            gradient.mul_(coefficients)
            moment1.lerp_(gradient, 1 - BETA1)
            moment2.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            denominator = torch.sqrt(moment2, out=gradient).mul_(root).add_(EPSILON)
            matrix.sub_(torch.div(moment1, denominator, out=denominator).mul_(step_size))
        return norms

    def _blocks(self, array: torch.Tensor) -> Sequence[torch.Tensor]:
        num_runs, num_columns = array.shape
        return array.split(num_columns if array.is_cuda else max(1, _BLOCK_ELEMENTS // num_runs), dim=1)

    def keep(self, rows: Sequence[int], matrix: torch.Tensor) -> None:
        """Go on with the runs `rows` only, whose parameters now stand in `matrix`."""
        index = list(rows)
        self.moment1, self.moment2 = self.moment1[index], self.moment2[index]
        self._weight_decay, self._clip_norm = self._weight_decay[index], self._clip_norm[index]
        self.matrix = matrix

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The two moments, [K, P] each."""
        return {"moment1": self.moment1, "moment2": self.moment2}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a state of the same shape."""
        self.moment1.copy_(state["moment1"])
        self.moment2.copy_(state["moment2"])


def learning_rate(spec: RunSpec, step: int) -> float:
    """Learning rate of one update, counted from 1.

    Linear warm-up to the peak, then constant, or falling by a line or half a cosine towards 0, which it would reach one
    update after the last. The paper uses a constant rate without warm-up (section 3).
    """
    if step <= spec.warmup_steps:
        return spec.lr * step / spec.warmup_steps
    if spec.schedule is Schedule.CONSTANT:
        return spec.lr
    done = (step - spec.warmup_steps - 1) / max(1, spec.num_steps - spec.warmup_steps)
    return spec.lr * (1 - done if spec.schedule is Schedule.LINEAR else 0.5 * (1 + math.cos(math.pi * done)))
