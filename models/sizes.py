"""Sizes of bodies: named ones, and any depth and width as "2x64". Imports nothing heavy.

A scaling ladder needs more rungs than there are names below base. Named sizes are points of the same grammar: "4x128"
is nano, "12x768" base, and one size has one spelling, so that one run has one identity.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from models import SIZES

FORM = "LAYERSxWIDTH"
"""How a size without a name is written, as in 2x64."""
NAMED = {
    "nano": (4, 128),
    "mini": (6, 384),
    "small": (6, 512),
    "base": (12, 768),
    "medium": (24, 1024),
    "large": (36, 1280),
    "xl": (48, 1600),
}
"""(layers, width). nano and mini are this study's, small is t5-small, the rest GPT-2's; BERT, ViT, T5 share base."""
OWN_DEPTHS = {"lstm": 3}
"""Layers of bodies that have as many at every named size."""
MAX_LAYERS, MAX_WIDTH = 96, 12_288  # those of GPT-3, beyond which nothing here would run

_WIDE = 384
_GRAMMAR = re.compile(r"([1-9][0-9]*)x([1-9][0-9]*)")


class Shape(NamedTuple):
    """Layers, width and attention heads."""

    num_layers: int
    width: int
    num_heads: int


def canonical(body: str, size: str) -> str | None:
    """The size in its one spelling: "4x128" -> "nano"; None for what is neither a name nor of the grammar.

    Raises:
        ValueError: of the grammar, but no size that can be built; one line.
    """
    if size in SIZES[body]:
        return size
    match = _GRAMMAR.fullmatch(size)
    if match is None:
        return None
    num_layers, width = int(match[1]), int(match[2])
    step = _head_width(width)
    if num_layers > MAX_LAYERS or width > MAX_WIDTH or width % step:
        raise ValueError(
            f"size '{size}' must have 1 to {MAX_LAYERS} layers and a width up to {MAX_WIDTH} that is a multiple of "
            f"{step} (heads of {step} values)"
        )
    return next((name for name in SIZES[body] if shape(body, name)[:2] == (num_layers, width)), size)


def shape(body: str, size: str) -> Shape:
    """Layers, width and heads of a size that `canonical` knows.

    Heads have 64 values, as those of GPT-2, BERT, ViT and T5 at every published size, and 32 below width 384.
    """
    if size in NAMED:
        num_layers, width = NAMED[size]
        num_layers = OWN_DEPTHS.get(body, num_layers)
    else:
        num_layers, width = (int(number) for number in size.split("x"))
    return Shape(num_layers, width, width // _head_width(width))


def nearest(size: str) -> str:
    """The widest named size that is no wider, or nano below that. A name is its own.

    Args:
        size: as `canonical` returns it.
    """
    if size in NAMED:
        return size
    width = int(size.split("x")[1])
    return max(("nano", *(name for name in NAMED if NAMED[name][1] <= width)), key=lambda name: NAMED[name][1])


def _head_width(width: int) -> int:
    return 64 if width >= _WIDE else 32


def paper_trained_parameters(*, width: int, num_layers: int) -> int:
    """The paper's count of trained parameters on CIFAR-10 (table 8: 106K, 190K, 300K for GPT-2 base, medium, large).

    16 inputs, 10 classes, gain and bias of two norms per layer and 64 positions, without the biases of input and output
    and without the last norm. The released code trains more: 48 inputs and all 1024 positions.
    """
    return 16 * width + 10 * width + 4 * width * num_layers + 64 * width
