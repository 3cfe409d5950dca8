"""The encoder of T5 (Raffel et al. 2020): sees both ways, root-mean-square norms without bias, relative positions.

The first block holds a table of biases, one per head and bucket of distances, that all blocks add to their scores; it
belongs to the attention. So that the group `positions` means the same for every body, a table of the study's own, zeros
at the start, is added to the inputs as well. The scores are not divided by the root of the width of a head: T5 puts
that factor into its initial values, and a random T5 is therefore drawn as transformers draws it, not from N(0, 0.02).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from models import Group
from models.bodies import OWN_POSITIONS, Architecture, CheckpointNames, Order
from models.cores import configured
from models.groups import Pattern
from models.sizes import shape

# Longest sequence with positions of ours; the relative ones have no end.
NUM_POSITIONS = 2048


class Feedforward(nn.Module):
    """Two matrices and an activation (T5 1.0), or a gate beside the first (T5 1.1, FLAN): transformers' names.

    Unlike transformers' module it leaves the precision of the activations alone where the weights have another.
    """

    def __init__(self, config: Any) -> None:
        from transformers.activations import ACT2FN

        super().__init__()
        self.firsts = _first_matrices(config)
        for name in self.firsts:
            self.add_module(name, nn.Linear(config.d_model, config.d_ff, bias=False))
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.act = ACT2FN[config.dense_act_fn]

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        first, *gated = (self.get_submodule(name)(hidden) for name in self.firsts)
        units = self.act(first) * gated[0] if gated else self.act(first)
        return self.wo(self.dropout(units))


class T5Core(nn.Module):
    """transformers' `T5Stack` as an encoder, without token embeddings."""

    def __init__(self, config: Any) -> None:
        from transformers.models.t5.modeling_t5 import T5Block, T5LayerNorm

        super().__init__()
        self.num_buckets = config.relative_attention_num_buckets
        self.max_distance = config.relative_attention_max_distance
        self.block = nn.ModuleList(
            T5Block(config, has_relative_attention_bias=i == 0, layer_idx=i) for i in range(config.num_layers)
        )
        for block in self.block:
            block.get_submodule("layer.1").DenseReluDense = Feedforward(config)
        self.final_layer_norm = T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        biases = self._biases(hidden)
        hidden = self.dropout(hidden)
        for block in self.block:
            hidden = block(hidden, position_bias=biases)[0]
        return self.dropout(self.final_layer_norm(hidden))

    def _biases(self, hidden: torch.Tensor) -> torch.Tensor:
        """[K, H, T, T], one for each table that is stacked in a packed leaf; [1, H, T, T] where there is one table."""
        table: Any = self.get_submodule("block.0.layer.0.SelfAttention.relative_attention_bias")
        num_tables = len(table.weight) if table.weight.ndim == 3 else 1
        tokens = torch.arange(hidden.shape[1], device=hidden.device)
        buckets = relative_buckets(
            tokens - tokens.unsqueeze(1), num_buckets=self.num_buckets, max_distance=self.max_distance
        )
        biases = table(buckets.expand(num_tables, -1, -1)).permute(0, 3, 1, 2)
        # Fused attention takes a mask whose last axis is dense only.
        return biases.to(hidden.dtype).contiguous()


def relative_buckets(distances: torch.Tensor, *, num_buckets: int, max_distance: int) -> torch.Tensor:
    """Bucket of each distance from a query to a key, same shape, long (Raffel et al. 2020, section 2.1).

    Half of the buckets are for keys before the query, half for those after it. Of each half the first half holds one
    distance per bucket; the others widen logarithmically up to `max_distance`, and the last one holds all beyond it.
    """
    per_side = num_buckets // 2
    num_exact = per_side // 2
    sizes = distances.abs()
    # In single precision, as transformers computes it: some distances lie on the edge of a bucket.
    fractions = torch.log(sizes.float().clamp(min=1) / num_exact) / math.log(max_distance / num_exact)
    wide = num_exact + (fractions * (per_side - num_exact)).long()
    return torch.where(sizes < num_exact, sizes, wide.clamp(max=per_side - 1)) + per_side * (distances > 0)


def _first_matrices(config: Any) -> tuple[str, ...]:
    return ("wi_0", "wi_1") if config.is_gated_act else ("wi",)


def _core(config: Any, num_layers: int, attention: str, dropout: float) -> T5Core:
    config = configured(config, num_layers, attention, dropout_rate=dropout)
    config.is_decoder = False
    return T5Core(config)


def _draw(config: Any, name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """T5's own initial values (Mesh TensorFlow's, transformers 4.1.1 and today): N(0, 1/inputs) but for the queries.

    Queries also take the 1/sqrt(width of a head) that the scores lack, and the biases 1/sqrt(D).
    """
    if "layer_norm" in name:
        return torch.ones(shape)
    variance = config.d_model if "relative_attention_bias" in name else shape[1]
    if name.endswith("SelfAttention.q.weight"):
        variance *= config.d_kv
    return torch.empty(shape).normal_(0.0, variance**-0.5, generator=generator)


def t5(size: str | None, config: Any) -> Architecture:
    """T5's encoder at a named size (version 1.0; small and base are t5-small and t5-base), or as a config says."""
    if size is not None:
        from transformers import T5Config

        num_layers, width, num_heads = shape("t5", size)
        config = T5Config(
            num_layers=num_layers, d_model=width, num_heads=num_heads, d_kv=width // num_heads, d_ff=4 * width
        )
    attention, feedforward = r"block\.\d+\.layer\.0\.SelfAttention\.", r"block\.\d+\.layer\.1\.DenseReluDense\."
    firsts = _first_matrices(config)
    return Architecture(
        body="t5",
        width=config.d_model,
        num_layers=config.num_layers,
        depth=config.num_layers,
        num_heads=config.num_heads,
        attention_width=config.num_heads * config.d_kv,
        max_tokens=NUM_POSITIONS,
        is_causal=False,
        patterns=(
            Pattern(r"block\.\d+\.layer\.[01]\.layer_norm\.weight", Group.LAYERNORM),
            Pattern(r"final_layer_norm\.weight", Group.LAYERNORM),
            Pattern(attention + r"([qkvo]|relative_attention_bias)\.weight", Group.ATTENTION),
            Pattern(feedforward + rf"({'|'.join(firsts)}|wo)\.weight", Group.FEEDFORWARD),
        ),
        order=Order(
            prefix="block.{}.layer.",
            layer=(
                ("0.layer_norm",),
                ("0.SelfAttention.q", "0.SelfAttention.k", "0.SelfAttention.v"),
                (),
                ("0.SelfAttention.o",),
                ("1.layer_norm",),
                tuple(f"1.DenseReluDense.{first}" for first in firsts),
                ("1.DenseReluDense.wo",),
            ),
            after=(("final_layer_norm",),),
            # The activation's result and the mask of its dropout; of a gate and its unit, both and the activated gate.
            num_kept_per_unit=2.0,
        ),
        position_name=OWN_POSITIONS,
        residual_projections=rf"{attention}o\.weight|{feedforward}wo\.weight",
        config=config,
        make_core=_core,
        checkpoint=CheckpointNames(
            # Of the models with a head; in the others the encoder's prefix comes first and is dropped below.
            prefix="transformer.",
            dropped=r"(shared|embed_tokens|lm_head)\.weight|(decoder|classification_head|classifier|qa_outputs)\..*",
            renamed=((r"^encoder\.", ""),),
        ),
        draw=partial(_draw, config),
    )
