"""ViT (Dosovitskiy et al. 2021) without its patch embedding: sees both ways, layer norm before each part.

As in the released code there is no class token, and the position table is the study's own, 1024 rows of zeros: the
pretrained one describes a 14 x 14 grid of image patches.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models import Group
from models.bodies import OWN_POSITIONS, Architecture, CheckpointNames, Order
from models.cores import configured
from models.groups import Pattern
from models.sizes import shape

NUM_POSITIONS = 1024


class VitCore(nn.Module):
    """transformers' `ViTModel` without patch, class and position embeddings and without pooler."""

    def __init__(self, config: Any) -> None:
        from transformers.models.vit.modeling_vit import ViTLayer

        super().__init__()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(ViTLayer(config) for _ in range(config.num_hidden_layers))
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        hidden = self.dropout(hidden)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.layernorm(hidden)


def _core(config: Any, num_layers: int, attention: str, dropout: float) -> VitCore:
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return VitCore(configured(config, num_layers, attention, **drops))


def vit(size: str | None, config: Any) -> Architecture:
    """ViT at a named size (base is google/vit-base-patch16-224-in21k), or as a config says."""
    if size is not None:
        from transformers import ViTConfig

        num_layers, width, num_heads = shape("vit", size)
        config = ViTConfig(
            num_hidden_layers=num_layers,
            hidden_size=width,
            num_attention_heads=num_heads,
            intermediate_size=4 * width,
        )
    layer = r"layers\.\d+\."
    return Architecture(
        body="vit",
        width=config.hidden_size,
        num_layers=config.num_hidden_layers,
        depth=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        max_tokens=NUM_POSITIONS,
        is_causal=False,
        patterns=(
            Pattern(layer + r"layernorm_(before|after)\.(weight|bias)", Group.LAYERNORM),
            Pattern(r"layernorm\.(weight|bias)", Group.LAYERNORM),
            Pattern(layer + r"attention\.[qkvo]_proj\.(weight|bias)", Group.ATTENTION),
            Pattern(layer + r"mlp\.fc[12]\.(weight|bias)", Group.FEEDFORWARD),
        ),
        order=Order(
            prefix="layers.{}.",
            layer=(
                ("layernorm_before",),
                ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
                (),
                ("attention.o_proj",),
                ("layernorm_after",),
                ("mlp.fc1",),
                ("mlp.fc2",),
            ),
            after=(("layernorm",),),
        ),
        position_name=OWN_POSITIONS,
        residual_projections=layer + r"(attention\.o_proj|mlp\.fc2)\.weight",
        config=config,
        make_core=_core,
        checkpoint=CheckpointNames(
            prefix="vit.",
            dropped=r"(embeddings|pooler|classifier|decoder)\..*",
            # Names up to transformers 4, in which the published checkpoints are stored.
            renamed=(
                (r"^encoder\.layer\.", "layers."),
                (r"attention\.attention\.query\.", "attention.q_proj."),
                (r"attention\.attention\.key\.", "attention.k_proj."),
                (r"attention\.attention\.value\.", "attention.v_proj."),
                (r"attention\.output\.dense\.", "attention.o_proj."),
                (r"(\d)\.intermediate\.dense\.", r"\1.mlp.fc1."),
                (r"(\d)\.output\.dense\.", r"\1.mlp.fc2."),
            ),
        ),
    )
