"""GPT-2 (Radford et al. 2019): causal, learned positions, layer norm before each part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from models import Group
from models.bodies import Architecture, CheckpointNames, Order
from models.cores import causal_mask, configured
from models.groups import Pattern
from models.sizes import shape


class Gpt2Core(nn.Module):
    """transformers' `GPT2Model` without token and position embeddings."""

    def __init__(self, config: Any) -> None:
        from transformers.models.gpt2.modeling_gpt2 import GPT2Block

        super().__init__()
        self.config = config
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(GPT2Block(config, layer_idx=i) for i in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        return self.ln_f(self._blocks(self.h, hidden))

    def last(self, hidden: torch.Tensor, num_read: int) -> torch.Tensor:
        """The last `num_read` tokens of `forward`, [N, num_read, D].

        The last block is computed for these tokens only; they still attend to all. With one token read that spares
        most of a block: a quarter of a body of four layers, a twelfth of GPT-2 base. Needs the engine's attention.
        """
        hidden = self._blocks(list(self.h)[:-1], hidden)
        return self.ln_f(_last_of_block(self.h[-1], hidden, num_read))

    def _blocks(self, blocks: Iterable[nn.Module], hidden: torch.Tensor) -> torch.Tensor:
        mask = causal_mask(self.config, hidden)
        hidden = self.drop(hidden)
        for block in blocks:
            hidden = block(hidden, attention_mask=mask)
        return hidden


def _last_of_block(block: Any, hidden: torch.Tensor, num_read: int) -> torch.Tensor:
    """GPT2Block for the last tokens, [N, T, D] -> [N, num_read, D]."""
    from models.attention import packed_attention

    attention = block.attn
    query, key, value = attention.c_attn(block.ln_1(hidden)).split(attention.split_size, dim=2)
    query, key, value = (
        x.unflatten(2, (-1, attention.head_dim)).transpose(1, 2) for x in (query[:, -num_read:], key, value)
    )
    mixed, _ = packed_attention(
        attention, query, key, value, None, dropout=attention.attn_dropout.p, scaling=attention.scaling
    )
    hidden = hidden[:, -num_read:] + attention.resid_dropout(attention.c_proj(mixed.flatten(2)))
    return hidden + block.mlp(block.ln_2(hidden))


def _core(config: Any, num_layers: int, attention: str, dropout: float) -> Gpt2Core:
    drops = {"embd_pdrop": dropout, "resid_pdrop": dropout, "attn_pdrop": dropout}
    return Gpt2Core(configured(config, num_layers, attention, **drops))


def gpt2(size: str | None, config: Any) -> Architecture:
    """GPT-2 at a named size (1024 positions, the published configuration otherwise), or as a config says."""
    if size is not None:
        from transformers import GPT2Config

        num_layers, width, num_heads = shape("gpt2", size)
        config = GPT2Config(n_layer=num_layers, n_embd=width, n_head=num_heads, use_cache=False)
    return Architecture(
        body="gpt2",
        width=config.n_embd,
        num_layers=config.n_layer,
        depth=config.n_layer,
        num_heads=config.n_head,
        max_tokens=config.n_positions,
        is_causal=True,
        patterns=(
            Pattern(r"h\.\d+\.ln_[12]\.(weight|bias)", Group.LAYERNORM),
            Pattern(r"ln_f\.(weight|bias)", Group.LAYERNORM),
            Pattern(r"h\.\d+\.attn\.(c_attn|c_proj)\.(weight|bias)", Group.ATTENTION),
            Pattern(r"h\.\d+\.mlp\.(c_fc|c_proj)\.(weight|bias)", Group.FEEDFORWARD),
        ),
        order=Order(
            prefix="h.{}.",
            layer=(("ln_1",), ("attn.c_attn",), (), ("attn.c_proj",), ("ln_2",), ("mlp.c_fc",), ("mlp.c_proj",)),
            after=(("ln_f",),),
            # The engine's `TanhGelu` keeps its input and its gate.
            num_kept_per_unit=2.0,
        ),
        position_name="wpe.weight",
        residual_projections=r"h\.\d+\.(attn|mlp)\.c_proj\.weight",
        config=config,
        make_core=_core,
        # Old checkpoints store each layer's causal mask as a tensor.
        checkpoint=CheckpointNames(
            prefix="transformer.",
            dropped=r"wte\.weight|(lm_head|score|classifier|multiple_choice_head|qa_outputs)\..*|h\.\d+\.attn\.(masked_)?bias",
        ),
    )
