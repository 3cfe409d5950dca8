"""What a body's tensors look like: mean, standard deviation and spectral norm of each.

Shapes: a matrix is [M, N]; a tensor with more axes is taken as a matrix of its first axis and all others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from models import Group
from models.bodies import Architecture
from models.groups import assign

_EXACT_UP_TO = 128
"""Shorter side of a matrix whose singular values are all computed; of 128 x 512 that takes 10 ms on one core."""
_MAX_STEPS = 100
_TOLERANCE = 1e-4
_SEED = 0


@dataclass(frozen=True)
class TensorStatistics:
    """One tensor.

    Attributes:
        name: in a state of the body.
        group: as in `models.Group`.
        layer: number of its layer, None outside of layers.
        shape: of the tensor.
        mean, std: of its values; the standard deviation is that of a population, which `statistics` draws from.
        spectral_norm: largest singular value, None for a vector, NaN where a value is not finite.
    """

    name: str
    group: str
    layer: int | None
    shape: tuple[int, ...]
    mean: float
    std: float
    spectral_norm: float | None


def tensor_statistics(architecture: Architecture, state: Mapping[str, torch.Tensor]) -> list[TensorStatistics]:
    """Statistics of every tensor of a body, in the order of `architecture.shapes`.

    Args:
        architecture: of the body.
        state: its tensors, of any real type, on the CPU.
    """
    groups = assign(architecture.core_shapes, architecture.patterns)
    layer = re.compile(re.escape(architecture.order.prefix).replace(r"\{\}", r"(\d+)"))
    found = []
    for name in architecture.shapes:
        values = state[name]
        deviation, mean = torch.std_mean(values.double(), correction=0)
        position = layer.match(name)
        found.append(
            TensorStatistics(
                name=name,
                group=groups.get(name, Group.POSITIONS).value,
                layer=int(position[1]) if position else None,
                shape=tuple(values.shape),
                mean=mean.item(),
                std=deviation.item(),
                spectral_norm=spectral_norm(values.flatten(1)) if values.ndim > 1 else None,
            )
        )
    return found


def spectral_norm(matrix: torch.Tensor) -> float:
    """Largest singular value of [M, N].

    Exact to float32 where the shorter side is at most 128. Beyond that by Golub-Kahan bidiagonalisation (Golub and Van
    Loan, Matrix Computations, 10.4) until the value grows by less than 1e-4 of itself over five steps: within 1e-3
    from below even of random matrices, whose singular values crowd at the top; 0.3 s for 1600 x 6400.
    """
    matrix = matrix.float()
    if not matrix.isfinite().all():
        return math.nan
    if min(matrix.shape) <= _EXACT_UP_TO:
        return torch.linalg.matrix_norm(matrix, ord=2).item()
    return _bidiagonalised(matrix)


def _bidiagonalised(matrix: torch.Tensor) -> float:
    """Largest singular value of the bidiagonal matrix that grows by one row a step; it only ever grows.

    Without orthogonalisation anew the vectors repeat themselves in the end, which harms small singular values only.
    """
    generator = torch.Generator().manual_seed(_SEED)
    right = torch.nn.functional.normalize(torch.randn(matrix.shape[1], generator=generator), dim=0)
    left, beta = torch.zeros(matrix.shape[0]), 0.0
    diagonal: list[float] = []
    above: list[float] = []
    norm, norm_before = 0.0, 0.0
    for step in range(1, _MAX_STEPS + 1):
        left = matrix @ right - beta * left
        alpha = torch.linalg.vector_norm(left).item()
        diagonal.append(alpha)
        if alpha <= _TOLERANCE * norm or alpha == 0:
            break
        left = left / alpha
        right = left @ matrix - alpha * right
        beta = torch.linalg.vector_norm(right).item()
        above.append(beta)
        if step % 5 == 0 or beta <= _TOLERANCE * alpha:
            norm = _norm_of_bidiagonal(diagonal, above)
            if beta <= _TOLERANCE * alpha or norm - norm_before <= _TOLERANCE * norm:
                return norm
            norm_before = norm
        right = right / beta
    return _norm_of_bidiagonal(diagonal, above)


def _norm_of_bidiagonal(diagonal: list[float], above: list[float]) -> float:
    size = len(diagonal)
    matrix = torch.zeros(size, size + 1, dtype=torch.float64)
    matrix.diagonal().copy_(torch.tensor(diagonal, dtype=torch.float64))
    matrix.diagonal(1)[: len(above)].copy_(torch.tensor(above, dtype=torch.float64))
    return torch.linalg.matrix_norm(matrix, ord=2).item()
