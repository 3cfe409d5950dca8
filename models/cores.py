"""What the modules of all transformer bodies share.

A core is built from transformers' own blocks under its own names and fed with hidden states. It consists of leaves
only (linear, norm, embedding and dropout modules), so that the engine can replace them; attention weights are dropped
through the `dropout` argument of the attention interface.
"""

from __future__ import annotations

import copy
from typing import Any

import torch


def configured(config: Any, num_layers: int, attention: str, **dropouts: float) -> Any:
    """A copy of a transformers config for `num_layers` layers, one attention implementation and these dropouts."""
    config = copy.deepcopy(config)
    config.num_hidden_layers = num_layers
    config._attn_implementation = attention
    for name, probability in dropouts.items():
        setattr(config, name, probability)
    return config


def causal_mask(config: Any, hidden: torch.Tensor) -> torch.Tensor | None:
    """Additive mask [1, 1, T, T] for transformers' eager attention; every other one reads the module's `is_causal`."""
    if config._attn_implementation != "eager":
        return None
    num_tokens = hidden.shape[1]
    lowest = torch.finfo(hidden.dtype).min
    return torch.full((1, 1, num_tokens, num_tokens), lowest, dtype=hidden.dtype, device=hidden.device).triu(1)
