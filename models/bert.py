"""BERT (Devlin et al. 2019): sees both ways, learned positions, layer norm after each part and after the embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models import Group
from models.bodies import Architecture, CheckpointNames, Order
from models.cores import configured
from models.groups import Pattern
from models.sizes import shape

_LAYER = r"encoder\.layer\.\d+\."

# Longformer has the same parts.
PATTERNS = (
    Pattern(r"embeddings\.token_type_embeddings\.weight", Group.EMBEDDINGS),
    Pattern(r"embeddings\.LayerNorm\.(weight|bias)", Group.LAYERNORM),
    Pattern(_LAYER + r"(attention\.)?output\.LayerNorm\.(weight|bias)", Group.LAYERNORM),
    Pattern(_LAYER + r"attention\.(self\.(query|key|value)|output\.dense)\.(weight|bias)", Group.ATTENTION),
    Pattern(_LAYER + r"(intermediate|output)\.dense\.(weight|bias)", Group.FEEDFORWARD),
)
ORDER = Order(
    prefix="encoder.layer.{}.",
    before=(("embeddings.LayerNorm",),),
    layer=(
        ("attention.self.query", "attention.self.key", "attention.self.value"),
        (),
        ("attention.output.dense",),
        ("attention.output.LayerNorm",),
        ("intermediate.dense",),
        ("output.dense",),
        ("output.LayerNorm",),
    ),
)
RESIDUAL_PROJECTIONS = _LAYER + r"(attention\.)?output\.dense\.weight"


class BertEntry(nn.Module):
    """What BERT's embedding module does after the token and position embeddings are summed.

    Every token is of type 0. The type's row is added here and not to the positions, so that positions alone are trained
    where `positions` is; addition commutes, so the sum is transformers'.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        # One id per example: a packed embedding needs the leading axis, tokens share the row.
        types = torch.zeros(hidden.shape[0], 1, dtype=torch.long, device=hidden.device)
        return self.dropout(self.LayerNorm(hidden + self.token_type_embeddings(types)))


class BertCore(nn.Module):
    """transformers' `BertModel` without token and position embeddings and without pooler."""

    def __init__(self, config: Any) -> None:
        from transformers.models.bert.modeling_bert import BertLayer

        super().__init__()
        self.embeddings = BertEntry(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(BertLayer(config, layer_idx=i) for i in range(config.num_hidden_layers))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        hidden = self.embeddings(hidden)
        for layer in self.encoder.get_submodule("layer").children():
            hidden = layer(hidden)
        return hidden


def _core(config: Any, num_layers: int, attention: str, dropout: float) -> BertCore:
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return BertCore(configured(config, num_layers, attention, **drops))


def bert(size: str | None, config: Any) -> Architecture:
    """BERT at a named size (base is bert-base-uncased, 512 positions), or as a config says.

    Raises:
        ValueError: the config is that of a decoder.
    """
    if size is not None:
        from transformers import BertConfig

        num_layers, width, num_heads = shape("bert", size)
        config = BertConfig(
            num_hidden_layers=num_layers,
            hidden_size=width,
            num_attention_heads=num_heads,
            intermediate_size=4 * width,
        )
    if config.is_decoder:
        raise ValueError("this BERT is a decoder (is_decoder in its config.json); only the encoder is known here")
    return Architecture(
        body="bert",
        width=config.hidden_size,
        num_layers=config.num_hidden_layers,
        depth=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        max_tokens=config.max_position_embeddings,
        is_causal=False,
        patterns=PATTERNS,
        order=ORDER,
        position_name="embeddings.position_embeddings.weight",
        residual_projections=RESIDUAL_PROJECTIONS,
        config=config,
        make_core=_core,
        checkpoint=CheckpointNames(
            prefix="bert.",
            dropped=r"embeddings\.(word_embeddings\.weight|position_ids)|(pooler|cls|classifier|qa_outputs)\..*",
            # bert-base-uncased was converted from TensorFlow and keeps its names of gain and bias.
            renamed=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
        ),
    )
