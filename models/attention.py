"""Attention of a pack: what transformers' attention interface asks for, with the masks and the dropout of each run.

Shapes: K runs, B examples per run, T tokens, D width, H heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import AttentionInterface

if TYPE_CHECKING:
    from models.packed import PackState

ATTENTION_NAME = "study_packed"

# Below this many tokens two matrix products and a softmax beat the fused kernel on the CPUs measured; above it the
# fused kernel saves the T x T scores.
_FUSED_FROM_TOKENS_ON_CPU = 256


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers' interface asks for it, with per-run dropout.

    Args:
        module: the attention module; its `pack` is the PackState and its `is_causal` the direction.
        query: [K * B, H, T, D / H], or only the last tokens of it.
        key, value: [K * B, H, T, D / H], or fewer heads (grouped queries).
        attention_mask: always None, the mask follows from `is_causal` and `PackState.lengths`.
        dropout: probability on the attention weights; acts while training only.
        scaling: factor on the scores, 1/sqrt(D / H) by default.
        position_bias: [K, H, T, T], added to the scores (T5); [1, H, T, T] where the runs share it.

    Returns:
        Output [K * B, queries, H, D / H], and None in place of the weights.
    """
    assert attention_mask is None
    pack: PackState = module.pack  # pyright: ignore[reportAssignmentType]
    if key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(repeats, dim=1) for x in (key, value))
    if position_bias is not None and len(position_bias) > 1:
        position_bias = position_bias.repeat_interleave(len(query) // len(position_bias), dim=0)
    drops = pack.dropout is not None and dropout > 0.0
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if pack.watch is not None and pack.watch.weights is None:
        pack.watch.weights = _watched(module, query, key, position_bias, scale)
    hidden = _hidden_pairs(module, pack, num_queries=query.shape[2], num_tokens=key.shape[2], device=query.device)
    if not drops and not (query.device.type == "cpu" and key.shape[2] < _FUSED_FROM_TOKENS_ON_CPU):
        added = _added(hidden, position_bias)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=added, scale=scaling)
        return out.transpose(1, 2).contiguous(), None
    weights = _weights(query, key, position_bias, hidden, scale)
    if drops:
        assert pack.dropout is not None
        keep = pack.dropout.keep_mask(weights.numel() // pack.num_runs, dropout, weights.dtype)
        weights = weights * keep.view(weights.shape)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


def _weights(
    query: torch.Tensor,
    key: torch.Tensor,
    position_bias: torch.Tensor | None,
    hidden: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Attention weights [K * B, H, queries, T]."""
    scores = torch.matmul(query * scale, key.transpose(-1, -2))
    if position_bias is not None:
        scores = scores + position_bias
    if hidden is not None:
        scores = scores.masked_fill_(hidden, float("-inf"))
    return scores.softmax(-1)


def _watched(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, position_bias: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """The weights of the last tokens that the watch asks about, in single precision or better and without dropout."""
    pack: PackState = module.pack  # pyright: ignore[reportAssignmentType]
    assert pack.watch is not None
    num_queries = pack.watch.num_queries
    precision = torch.promote_types(query.dtype, torch.float32)
    bias = None if position_bias is None else position_bias[..., -num_queries:, :].to(precision)
    hidden = _hidden_pairs(module, pack, num_queries=num_queries, num_tokens=key.shape[2], device=query.device)
    return _weights(query[:, :, -num_queries:].to(precision), key.to(precision), bias, hidden, scale)


def _added(hidden: torch.Tensor | None, position_bias: torch.Tensor | None) -> torch.Tensor | None:
    """The mask of torch's fused attention: True where a key is seen, or what is added to the scores."""
    if hidden is None:
        return position_bias
    return ~hidden if position_bias is None else position_bias.masked_fill(hidden, float("-inf"))


def _hidden_pairs(
    module: nn.Module, pack: PackState, *, num_queries: int, num_tokens: int, device: torch.device
) -> torch.Tensor | None:
    """True where a query, one of the last tokens, must not see a key; broadcasts to [K * B, H, queries, T]."""
    if getattr(module, "is_causal", False):
        if num_queries == 1:
            return None
        return torch.ones(num_queries, num_tokens, dtype=torch.bool, device=device).triu_(1 + num_tokens - num_queries)
    if pack.lengths is None:
        return None
    return (torch.arange(num_tokens, device=device) >= pack.lengths.unsqueeze(1))[:, None, None, :]


AttentionInterface.register(ATTENTION_NAME, packed_attention)
