"""Llama-like (Touvron et al. 2023): causal, root-mean-square norms, gated feedforward, rotary positions.

Rotary positions are not parameters. So that the group `positions` means the same for every body, a table of the study's
own, zeros at the start, is added to the inputs as well.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models import Group
from models.bodies import OWN_POSITIONS, Architecture, CheckpointNames, Order
from models.cores import causal_mask, configured
from models.groups import Pattern
from models.sizes import shape


class LlamaCore(nn.Module):
    """transformers' `LlamaModel` without token embeddings."""

    def __init__(self, config: Any) -> None:
        from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding

        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(LlamaDecoderLayer(config, layer_idx=i) for i in range(config.num_hidden_layers))
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        # Its frequencies are computed, not loaded: they must exist even when the parameters do not.
        with torch.device("cpu"):
            self.rotary_emb = LlamaRotaryEmbedding(config=config)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        mask = causal_mask(self.config, hidden)
        tokens = torch.arange(hidden.shape[1], device=hidden.device).unsqueeze(0)
        rotations = self.rotary_emb(hidden, position_ids=tokens)
        for layer in self.layers:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=rotations)
        return self.norm(hidden)


def _core(config: Any, num_layers: int, attention: str, dropout: float) -> LlamaCore:
    return LlamaCore(configured(config, num_layers, attention, attention_dropout=dropout))


def llama(size: str | None, config: Any) -> Architecture:
    """Llama-like body at a named size (2048 positions), or as a config says.

    The gated feedforward layer has three matrices, so its width is 8/3 of the model's, rounded up to a multiple of 64,
    which gives about as many parameters as GPT-2's two of 4 (Touvron et al. 2023, section 2.2, rounded to 256 there).
    """
    if size is not None:
        from transformers import LlamaConfig

        num_layers, width, num_heads = shape("llama", size)
        config = LlamaConfig(
            num_hidden_layers=num_layers,
            hidden_size=width,
            num_attention_heads=num_heads,
            intermediate_size=-(-8 * width // (3 * 64)) * 64,
            max_position_embeddings=2048,
            use_cache=False,
        )
    layer = r"layers\.\d+\."
    return Architecture(
        body="llama",
        width=config.hidden_size,
        num_layers=config.num_hidden_layers,
        depth=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        attention_width=config.num_attention_heads * config.head_dim,
        max_tokens=config.max_position_embeddings,
        is_causal=True,
        patterns=(
            Pattern(layer + r"(input|post_attention)_layernorm\.weight", Group.LAYERNORM),
            Pattern(r"norm\.weight", Group.LAYERNORM),
            Pattern(layer + r"self_attn\.[qkvo]_proj\.(weight|bias)", Group.ATTENTION),
            Pattern(layer + r"mlp\.(gate|up|down)_proj\.(weight|bias)", Group.FEEDFORWARD),
        ),
        order=Order(
            prefix="layers.{}.",
            layer=(
                ("input_layernorm",),
                ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                (),
                ("self_attn.o_proj",),
                ("post_attention_layernorm",),
                ("mlp.gate_proj", "mlp.up_proj"),
                ("mlp.down_proj",),
            ),
            after=(("norm",),),
            # Per gate and unit: both, and the activated gate.
            num_kept_per_unit=1.5,
        ),
        position_name=OWN_POSITIONS,
        residual_projections=layer + r"(self_attn\.o_proj|mlp\.down_proj)\.weight",
        config=config,
        make_core=_core,
        checkpoint=CheckpointNames(
            prefix="model.",
            dropped=r"embed_tokens\.weight|(lm_head|score|qa_outputs)\..*|layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
            # Of the model for question answering.
            renamed=((r"^transformer\.", ""),),
        ),
    )
