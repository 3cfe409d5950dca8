"""Initial values that are drawn: whole bodies, and the input and output layers of a run.

Every tensor has a generator of its own, seeded from the body's seed and the tensor's name. So a body does not depend on
the order in which its tensors are made nor on torch's global random state, and the first n layers of a body are the
same tensors whatever the body's depth.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping

import torch

from models import Group
from models.bodies import OWN_POSITIONS, Architecture, require_known
from models.groups import assign

# transformers' `initializer_range` for GPT-2, BERT, ViT and Llama.
STANDARD_DEVIATION = 0.02

DRAWN_INITS = ("random", "random-scaled")
DERIVED_INITS = ("statistics", "shuffled")


def body_state(
    architecture: Architecture, init: str, *, seed: int, source: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """A body's tensors, float32 on the CPU, position table included, in the order of `architecture.shapes`.

    Args:
        architecture: whose shapes to fill.
        init: `random`: N(0, 0.02) for every matrix, biases 0, norms 1 and 0 (transformers 4.1.1, the paper's library),
            or what `architecture.draw` says;
            `random-scaled`: the same with residual projections divided by sqrt(2 * depth), as transformers does for
            GPT-2 since late 2021; `statistics`: normal values with the mean and standard deviation of each tensor of
            `source` (paper table 9), constant tensors stay as they are; `shuffled`: the values of each tensor of
            `source` in a random order.
        seed: the body's seed.
        source: a pretrained state, required by `statistics` and `shuffled`; may have more layers than are asked for.

    Raises:
        ValueError: an unknown init, one that does not exist for this body, or a source that does not fit.
    """
    require_known("init", init, (*DRAWN_INITS, *DERIVED_INITS))
    if init in DERIVED_INITS:
        if source is None:
            raise ValueError(f"init {init!r} needs the pretrained body whose values it uses")
        _require_fits(architecture, source)
        derive = _with_statistics if init == "statistics" else _shuffled
        return {name: derive(source[name].float(), _generator(seed, name)) for name in architecture.shapes}
    scales = _residual_scales(architecture) if init == "random-scaled" else {}
    groups = assign(architecture.core_shapes, architecture.patterns)
    state = {}
    for name, shape in architecture.shapes.items():
        generator = _generator(seed, name)
        # A table of our own starts at zero, as the released code's does for ViT.
        if name == OWN_POSITIONS:
            state[name] = torch.zeros(shape)
            continue
        if architecture.draw is not None:
            drawn = architecture.draw(name, shape, generator)
        else:
            drawn = _drawn(name, shape, groups.get(name, Group.POSITIONS), generator)
        state[name] = drawn * scales.get(name, 1.0)
    return state


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _drawn(name: str, shape: torch.Size, group: Group, generator: torch.Generator) -> torch.Tensor:
    """One tensor of a random transformer."""
    if group is Group.LAYERNORM:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    if name.endswith("bias"):
        return torch.zeros(shape)
    return torch.empty(shape).normal_(0.0, STANDARD_DEVIATION, generator=generator)


def _residual_scales(architecture: Architecture) -> dict[str, float]:
    """1 / sqrt(2 * depth) for every weight that writes into the residual stream, two per layer."""
    regex = architecture.residual_projections
    if regex is None:
        msg = f"init 'random-scaled' does not exist for body {architecture.body!r}: it has no residual projections"
        raise ValueError(f"{msg}; use 'random'")
    scale = 1 / math.sqrt(2 * architecture.depth)
    return {name: scale for name in architecture.shapes if re.fullmatch(regex, name)}


def _require_fits(architecture: Architecture, source: Mapping[str, torch.Tensor]) -> None:
    for name, shape in architecture.shapes.items():
        given = source.get(name)
        if given is None or given.shape != shape:
            found = "missing" if given is None else f"of shape {tuple(given.shape)}"
            raise ValueError(f"the source body does not fit: {name} must have shape {tuple(shape)}, is {found}")


def _with_statistics(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    mean, deviation = values.mean().item(), values.std(correction=0).item()
    if (values == values.flatten()[0]).all():
        return values.clone()
    return torch.empty(values.shape).normal_(mean, deviation, generator=generator)


def _shuffled(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    order = torch.randperm(values.numel(), generator=generator)
    return values.flatten()[order].view(values.shape)


def input_layer(
    *, num_features: int | None, num_symbols: int | None, width: int, gain: float, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Initial values of the input layer.

    Args:
        num_features: F of a linear layer: weight [D, F] orthogonal with `gain`, bias [D] zero (released code: 1.41).
        num_symbols: V of an embedding: weight [V, D] of N(0, 1), torch's default. Exactly one of the two is given.
        width: D.
        gain: of the orthogonal matrix.
        generator: of the run.
    """
    assert (num_features is None) != (num_symbols is None)
    if num_symbols is not None:
        return {"weight": torch.empty(num_symbols, width).normal_(generator=generator)}
    assert num_features is not None
    weight = torch.nn.init.orthogonal_(torch.empty(width, num_features), gain=gain, generator=generator)
    return {"weight": weight, "bias": torch.zeros(width)}


def output_layer(*, width: int, num_outputs: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Initial values of the output layer: weight [O, D] and bias [O] of U(-1/sqrt(D), 1/sqrt(D)), torch's default."""
    bound = 1 / math.sqrt(width)
    return {
        "weight": torch.empty(num_outputs, width).uniform_(-bound, bound, generator=generator),
        "bias": torch.empty(num_outputs).uniform_(-bound, bound, generator=generator),
    }
