"""Longformer (Beltagy et al. 2020): BERT's layers, but a token sees only a window of tokens around itself.

No token has global attention: which ones should is a question of a task's tokens, and ours are not words. A published
checkpoint's second set of query, key and value projections, which only such tokens use, is therefore dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from models.bert import ORDER, PATTERNS, RESIDUAL_PROJECTIONS, BertEntry
from models.bodies import Architecture, CheckpointNames
from models.cores import configured
from models.sizes import shape

if TYPE_CHECKING:
    from models.packed import PackState

# allenai/longformer-base-4096, at every size: positions for 4096 tokens after the two rows of RoBERTa's padding, 256
# tokens seen to either side.
_PUBLISHED = {"max_position_embeddings": 4098, "attention_window": 512, "type_vocab_size": 1, "layer_norm_eps": 1e-5}


class WindowAttention(nn.Module):
    """Attention to the tokens at most `reach` away, under the names of transformers' `LongformerSelfAttention`.

    transformers' own has its dropout built in, out of the engine's reach, and does not use the attention interface.
    Queries are cut into blocks of `reach` tokens, each of which needs the keys of its own block and of the two beside
    it: T * 3 reach scores instead of T * T.
    """

    def __init__(self, config: Any, reach: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.reach = reach
        # The engine sets it; its lengths say how many tokens of an example may be seen.
        self.pack: PackState | None = None

    def forward(self, hidden: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
        """[N, T, D] -> ([N, T, D],), as transformers' layer expects it."""
        num_tokens = hidden.shape[1]
        lengths = None if self.pack is None else self.pack.lengths
        query, key, value = (
            project(hidden).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        query = query * query.shape[-1] ** -0.5
        if self.pack is not None and self.pack.watch is not None and self.pack.watch.weights is None:
            self.pack.watch.weights = self._watched(query, key, lengths, self.pack.watch.num_queries)
        # Up to three blocks a single one of all tokens is as cheap.
        if num_tokens <= 3 * self.reach:
            query, key, value = (x.unsqueeze(2) for x in (query, key, value))
        else:
            query, key, value = self._blocks(query), self._neighbours(key), self._neighbours(value)
        scores = torch.matmul(query, key.transpose(-1, -2))
        if num_tokens > self.reach + 1 or lengths is not None:
            # Not infinity: a token of the padding may see nothing at all, and its output is never used.
            scores = scores.masked_fill_(self._hidden_pairs(num_tokens, lengths, hidden.device), _lowest(scores))
        mixed = torch.matmul(self.dropout(scores.softmax(-1)), value)
        return (mixed.flatten(2, 3)[:, :, :num_tokens].transpose(1, 2).flatten(2),)

    def _watched(
        self, query: torch.Tensor, key: torch.Tensor, lengths: torch.Tensor | None, num_queries: int
    ) -> torch.Tensor:
        """Weights of the last tokens for all keys, [N, H, num_queries, T], in single precision or better."""
        tokens = torch.arange(key.shape[2], device=key.device)
        hidden = (tokens[-num_queries:, None] - tokens).abs() > self.reach
        if lengths is not None:
            hidden = hidden | (tokens >= lengths.view(-1, 1, 1, 1))
        precision = torch.promote_types(key.dtype, torch.float32)
        scores = torch.matmul(query[:, :, -num_queries:].to(precision), key.to(precision).transpose(-1, -2))
        return scores.masked_fill(hidden, _lowest(scores)).softmax(-1)

    def _blocks(self, x: torch.Tensor) -> torch.Tensor:
        """[N, H, T, d] -> [N, H, C, reach, d], zeros after the last token."""
        return F.pad(x, (0, 0, 0, -x.shape[2] % self.reach)).unflatten(2, (-1, self.reach))

    def _neighbours(self, x: torch.Tensor) -> torch.Tensor:
        """[N, H, T, d] -> [N, H, C, 3 reach, d]: every block with the one before and the one after it."""
        padded = F.pad(x, (0, 0, self.reach, self.reach + -x.shape[2] % self.reach))
        return padded.unfold(2, 3 * self.reach, self.reach).transpose(-1, -2)

    def _hidden_pairs(self, num_tokens: int, lengths: torch.Tensor | None, device: torch.device) -> torch.Tensor:
        """True where a query must not see a key: [N, 1, C, queries, keys], N = 1 without lengths."""
        tokens = torch.arange(num_tokens, device=device)
        if num_tokens <= 3 * self.reach:
            queries, keys = tokens.unsqueeze(0), tokens.unsqueeze(0)
        else:
            queries = torch.arange(num_tokens + -num_tokens % self.reach, device=device).unflatten(0, (-1, self.reach))
            keys = queries[:, :1] + torch.arange(-self.reach, 2 * self.reach, device=device)
        is_far = (queries.unsqueeze(2) - keys.unsqueeze(1)).abs() > self.reach
        limit = num_tokens if lengths is None else lengths.view(-1, 1, 1)
        is_outside = ((keys < 0) | (keys >= limit)).view(-1, *keys.shape)
        return (is_far | is_outside.unsqueeze(2)).unsqueeze(1)


def _lowest(x: torch.Tensor) -> float:
    return torch.finfo(x.dtype).min


class LongformerCore(nn.Module):
    """transformers' `LongformerModel` without token and position embeddings and without pooler."""

    def __init__(self, config: Any, reaches: tuple[int, ...]) -> None:
        from transformers.models.longformer.modeling_longformer import LongformerLayer

        super().__init__()
        self.embeddings = BertEntry(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(LongformerLayer(config, layer_id=i) for i in range(len(reaches)))
        for layer, reach in zip(self.encoder.layer, reaches, strict=True):
            setattr(layer.attention, "self", WindowAttention(config, reach))  # noqa: B010 - no name for an attribute

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        hidden = self.embeddings(hidden)
        for layer in self.encoder.get_submodule("layer").children():
            (hidden,) = layer(hidden)
        return hidden


def _core(config: Any, num_layers: int, attention: str, dropout: float) -> LongformerCore:
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    reaches = _reaches(config)[:num_layers]
    config = configured(config, num_layers, attention, **drops)
    config.attention_window = [2 * reach for reach in reaches]
    return LongformerCore(config, reaches)


def _reaches(config: Any) -> tuple[int, ...]:
    """Tokens that each layer sees to either side: half of its window."""
    windows = config.attention_window
    windows = [windows] * config.num_hidden_layers if isinstance(windows, int) else list(windows)
    if len(windows) != config.num_hidden_layers or any(window < 2 or window % 2 for window in windows):
        raise ValueError(
            f"attention_window of a Longformer must be an even number above 0, or one for each of its "
            f"{config.num_hidden_layers} layers, not {config.attention_window}"
        )
    return tuple(window // 2 for window in windows)


def longformer(size: str | None, config: Any) -> Architecture:
    """Longformer at a named size (base is allenai/longformer-base-4096), or as a config says.

    Raises:
        ValueError: windows that cannot be, or no number of the padding symbol.
    """
    if size is not None:
        from transformers import LongformerConfig

        num_layers, width, num_heads = shape("longformer", size)
        config = LongformerConfig(
            num_hidden_layers=num_layers,
            hidden_size=width,
            num_attention_heads=num_heads,
            intermediate_size=4 * width,
            **_PUBLISHED,
        )
    if config.pad_token_id is None:
        raise ValueError("this Longformer's config.json has no pad_token_id, after which its positions begin")
    # As in RoBERTa, the first token's position is the one after the padding symbol's number.
    first_position = config.pad_token_id + 1
    return Architecture(
        body="longformer",
        width=config.hidden_size,
        num_layers=config.num_hidden_layers,
        depth=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        reaches=_reaches(config),
        max_tokens=config.max_position_embeddings - first_position,
        is_causal=False,
        patterns=PATTERNS,
        order=ORDER,
        position_name="embeddings.position_embeddings.weight",
        residual_projections=RESIDUAL_PROJECTIONS,
        config=config,
        make_core=_core,
        checkpoint=CheckpointNames(
            prefix="longformer.",
            dropped=r"embeddings\.(word_embeddings\.weight|position_ids)"
            r"|encoder\.layer\.\d+\.attention\.self\.(query|key|value)_global\.(weight|bias)"
            r"|(pooler|lm_head|classifier|qa_outputs)\..*",
            first_position=first_position,
        ),
    )
