"""Bodies without weights: what an architecture is, how one is found by name, and its position table.

A body maps hidden states to hidden states, [N, T, D] -> [N, T, D]. Token embeddings, poolers and heads are left out.
The position table is not part of the module either, because a run owns and may train it: it is added to the inputs
before the body, and stands in a state under `position_key`. Each body has a file of its own (gpt2.py, bert.py, ...).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from models import BODIES, SIZES
from models.groups import Pattern
from models.sizes import FORM, canonical

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Key of a position table that is ours, where transformers' model has no learned one that fits.
OWN_POSITIONS = "positions.weight"


@dataclass(frozen=True)
class Order:
    """Modules in the order in which data passes them, for counting what a backward pass has to visit.

    Each step is a tuple of modules that read the same input; the empty tuple is the attention product itself.

    Attributes:
        prefix: name of layer i, with `{}` for i.
        layer: steps of one layer, names relative to the prefix.
        before, after: steps before the first and after the last layer.
        recurrent: modules of a layer whose input is an earlier output of the same layer.
        num_kept_per_unit: values that the activation function keeps for the backward pass, per row of the widest
            feedforward step: 1 for a fused one.
    """

    prefix: str
    layer: tuple[tuple[str, ...], ...]
    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    recurrent: tuple[str, ...] = ()
    num_kept_per_unit: float = 1.0


@dataclass(frozen=True)
class CheckpointNames:
    """How tensor names in a checkpoint become the names of a state.

    Attributes:
        prefix: of the body inside models with a head.
        dropped: regular expression of tensors (without prefix) that the body has no use for.
        renamed: (regular expression, replacement) pairs, applied in turn.
        first_position: row of the checkpoint's position table that belongs to the first token; a state's table has
            no rows before it.
    """

    prefix: str
    dropped: str
    renamed: tuple[tuple[str, str], ...] = ()
    first_position: int = 0


@dataclass(frozen=True, eq=False)
class Architecture:
    """A body without weights; compared and hashed by identity, `architecture` returns the same one for the same names.

    Attributes:
        body: as in `models.BODIES`.
        width: D.
        num_layers: layers that are built, the first ones of the body.
        depth: layers of the whole body; initial scales follow it, so that a shallower body is a prefix of the whole.
        num_heads: attention heads; 0 where nothing attends.
        max_tokens: longest sequence that has positions; None where any length will do.
        is_causal: a token sees only itself and earlier ones.
        patterns: group of every parameter of the module, see `models.groups`.
        order: see `Order`.
        position_name: key of the position table in a state, None where the body has no positions.
        residual_projections: regular expression of the weights that write into the residual stream, None without one.
        config: what `make_core` reads: a transformers config, or the body's own description.
        make_core: (config, num_layers, attention, dropout) -> module.
        checkpoint: names in transformers checkpoints, None for a body that has none.
        draw: (name, shape, generator) -> initial values of one tensor, None for a transformer's (`models.initialise`).
        as_released: turns it into what the released code really does, where that differs.
        attention_width: values of a token in all heads together, None where it is D.
        reaches: per layer, how many tokens to either side a token sees; empty where it sees all.
    """

    body: str
    width: int
    num_layers: int
    depth: int
    num_heads: int
    max_tokens: int | None
    is_causal: bool
    patterns: tuple[Pattern, ...]
    order: Order
    position_name: str | None
    residual_projections: str | None
    config: Any
    make_core: Callable[[Any, int, str, float], nn.Module]
    checkpoint: CheckpointNames | None = None
    draw: Callable[[str, torch.Size, torch.Generator], torch.Tensor] | None = None
    as_released: Callable[[Architecture], Architecture] | None = None
    attention_width: int | None = None
    reaches: tuple[int, ...] = ()

    def build(self, *, attention: str = "sdpa", dropout: float = 0.1, device: torch.device | str = "cpu") -> nn.Module:
        """The module, [N, T, D] -> [N, T, D], in float32 and training mode, the global random state untouched.

        Parameters are NaN until a state is loaded, so that a forgotten load shows; on `meta` they have no storage.
        Buffers always hold their values.

        Args:
            attention: name in transformers' attention interface.
            dropout: probability at every dropout site of the body.
            device: where the parameters live.
        """
        with torch.device("meta"):
            core = self.make_core(self.config, self.num_layers, attention, dropout)
        if torch.device(device).type == "meta":
            return core
        for module in core.modules():
            for name, parameter in module.named_parameters(recurse=False):
                empty = torch.full(parameter.shape, torch.nan, dtype=torch.float32, device=device)
                setattr(module, name, nn.Parameter(empty))
        return core.to(device)

    @cached_property
    def core_shapes(self) -> Mapping[str, torch.Size]:
        """Shape of every parameter of the module."""
        return {name: tensor.shape for name, tensor in self.build(device="meta").named_parameters()}

    @cached_property
    def shapes(self) -> Mapping[str, torch.Size]:
        """Shape of every tensor of a state: the module's parameters and, where there is one, the position table."""
        if self.position_name is None:
            return self.core_shapes
        assert self.max_tokens is not None
        return {**self.core_shapes, self.position_name: torch.Size((self.max_tokens, self.width))}


def architecture(
    body: str,
    *,
    size: str | None = None,
    num_layers: int | None = None,
    config: PreTrainedConfig | None = None,
    protocol: str = "fixed",
) -> Architecture:
    """The architecture of a named size, or of a transformers config (a checkpoint's).

    Args:
        body: a name of `models.BODIES`.
        size: a name of `models.SIZES[body]`, or layers and width as "2x64"; None where `config` says it.
        num_layers: build only the first so many layers; an LSTM, which has no fixed depth, gets exactly so many.
        config: a checkpoint's config; excludes `size`.
        protocol: `paper` gives the released code's variant where it differs (the LSTMs), `fixed` the sound one.

    Raises:
        ValueError: an unknown body or size, or more layers than the body has.
    """
    require_known("body", body, BODIES)
    if config is None:
        if size is None:
            raise ValueError(f"body {body!r} needs a size: {', '.join(SIZES[body])}")
        known = canonical(body, size)
        if known is None:
            require_known(f"size of body {body!r}", size, [*SIZES[body], f"{FORM} such as 2x64"])
        return _named(body, str(known), num_layers, protocol)
    assert size is None, "a config says its own size"
    return _truncated(_family(body)(None, config), num_layers)


@cache
def _named(body: str, size: str, num_layers: int | None, protocol: str) -> Architecture:
    whole = _family(body)(size, None)
    if protocol == "paper" and whole.as_released is not None:
        whole = whole.as_released(whole)
    return _truncated(whole, num_layers)


def _family(body: str) -> Callable[[str | None, Any], Architecture]:
    module, _, function = BODIES[body].partition(":")
    return getattr(importlib.import_module(module), function)


def _truncated(whole: Architecture, num_layers: int | None) -> Architecture:
    if num_layers is None:
        return whole
    if num_layers < 1:
        raise ValueError(f"num_layers is {num_layers}; a body has at least 1 layer")
    if whole.checkpoint is None:
        # Nothing pretrained fixes the depth of an LSTM.
        return replace(whole, num_layers=num_layers, depth=num_layers)
    if num_layers > whole.depth:
        raise ValueError(f"num_layers is {num_layers}, but this {whole.body} has {whole.depth}; choose a larger size")
    return replace(whole, num_layers=num_layers)


def require_known(kind: str, given: str, allowed: Iterable[str]) -> None:
    """Refuse a name that is not in `allowed`, with the nearest ones.

    Raises:
        ValueError: one line: what was given, what it may have meant, what is allowed.
    """
    names = list(allowed)
    if given in names:
        return
    near = difflib.get_close_matches(given, names, n=2)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    raise ValueError(f"unknown {kind} {given!r}{hint} (one of: {', '.join(names)})")


def position_key(architecture: Architecture) -> str | None:
    """Key of the position table in a state of this architecture; None where the body has no positions."""
    return architecture.position_name


def position_table(
    architecture: Architecture, state: Mapping[str, torch.Tensor], num_tokens: int
) -> torch.Tensor | None:
    """The first `num_tokens` positions, [T, D], a copy; None where the body has no positions.

    Raises:
        ValueError: more tokens than the body has positions.
    """
    if architecture.position_name is None:
        return None
    table = state[architecture.position_name]
    if num_tokens > len(table):
        raise ValueError(f"{num_tokens} tokens, but body {architecture.body!r} has {len(table)} positions")
    return table[:num_tokens].clone()
