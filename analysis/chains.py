"""Of many body shapes a ladder: shapes that grow, none being deeper and narrower than another."""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = tuple[int, int]
"""Layers and width."""


def longest_chain(shapes: Sequence[Shape], weights: Sequence[int]) -> set[Shape]:
    """The shapes of the best chain in which neither depth nor width ever falls.

    Best is the most weight (runs of the shapes), then the widest span of body parameters, then the most even steps:
    ladders of depth and width beside it do not bend it to their side. Empty unless both depth and width grow.

    Args:
        shapes: distinct.
        weights: one each.
    """
    order = sorted(range(len(shapes)), key=lambda i: shapes[i])
    best: dict[int, tuple[tuple[float, float, float], tuple[Shape, ...]]] = {}
    for i in order:
        own = shapes[i]
        best[i] = ((weights[i], -_log_size(own), 0.0), (own,))
        for j in order:
            if j in best and j != i and shapes[j][0] <= own[0] and shapes[j][1] <= own[1]:
                (weight, start, uneven), chain = best[j]
                step = _log_size(own) - _log_size(shapes[j])
                score = (weight + weights[i], start, uneven - step**2)
                best[i] = max(best[i], (score, (*chain, own)))
    ends = [(score[0], score[1] + _log_size(chain[-1]), score[2], chain) for score, chain in best.values()]
    chain = max(ends, default=(0, 0.0, 0.0, ()))[3]
    grows = len({depth for depth, _ in chain}) > 1 and len({width for _, width in chain}) > 1
    return set(chain) if grows else set()


def _log_size(shape: Shape) -> float:
    """log of a body's parameters but for a constant: 12 L W^2 (Kaplan et al. 2020, section 2.1)."""
    return math.log(shape[0]) + 2 * math.log(shape[1])
