"""Packed leaves: the small modules that let one `transformers` model train K runs at once.

Activations stay folded, [K * B, T, ...], so attention and every frozen matrix that the runs share see one large batch.
A leaf whose parameters differ between the runs (because they are trained, or because each run owns a random body) is
replaced by a packed leaf that holds them stacked, [K, ...], and unfolds its input for the one operation that needs it.
K = 1 takes the same path.

Shapes: K runs, B examples per run, T tokens, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.modeling_utils import AttentionInterface
from transformers.pytorch_utils import Conv1D

from models.activation import TanhGelu
from models.randomness import DropoutStreams, NormalStreams

ATTENTION_NAME = "study_packed"

# Below this many tokens two matrix products and a softmax beat the fused kernel on the CPUs measured
# (benchmarks/attention.py); above it the fused kernel saves the T x T scores.
_FUSED_FROM_TOKENS_ON_CPU = 256


@dataclass
class PackState:
    """What the leaves of one model share and the engine sets.

    Attributes:
        num_runs: K.
        dropout: mask streams while training, None while evaluating.
        normals: random states of bodies that draw them, training and evaluating; None for other bodies.
        lengths: [K * B] number of tokens that bidirectional attention may see; None for all.
    """

    num_runs: int = 1
    dropout: DropoutStreams | None = None
    normals: NormalStreams | None = None
    lengths: torch.Tensor | None = None


class PackedLeaf(nn.Module):
    """A leaf whose tensors are set from outside, each with a leading K axis."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def __init__(self, pack: PackState) -> None:
        super().__init__()
        self.pack = pack

    def unfold(self, x: torch.Tensor) -> torch.Tensor:
        """[K * B, ..., D] -> [K, B * ..., D]."""
        return x.reshape(self.pack.num_runs, -1, x.shape[-1])


class PackedLinear(PackedLeaf):
    """`nn.Linear` (weight [K, out, in]) or transformers' `Conv1D` (weight [K, in, out])."""

    def __init__(self, pack: PackState, *, is_transposed: bool = False) -> None:
        super().__init__(pack)
        self.is_transposed = is_transposed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[K * B, ..., in] -> [K * B, ..., out]."""
        weight = self.weight.to(x.dtype)
        weight = weight if self.is_transposed else weight.transpose(1, 2)
        if self.bias is None:
            out = torch.bmm(self.unfold(x), weight)
        else:
            out = torch.baddbmm(self.bias.to(x.dtype).unsqueeze(1), self.unfold(x), weight)
        return out.reshape(*x.shape[:-1], out.shape[-1])


class PackedLayerNorm(PackedLeaf):
    """`nn.LayerNorm` with gain and bias [K, D]."""

    def __init__(self, pack: PackState, eps: float) -> None:
        super().__init__(pack)
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[K * B, ..., D], normalised over D."""
        gain = self.weight.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        shape = (x.shape[-1],)
        if self.pack.num_runs == 1:
            return F.layer_norm(x, shape, gain[0], None if bias is None else bias[0], self.eps)
        normal = self.unfold(F.layer_norm(x, shape, eps=self.eps))
        scaled = (
            normal * gain.unsqueeze(1) if bias is None else torch.addcmul(bias.unsqueeze(1), normal, gain.unsqueeze(1))
        )
        return scaled.reshape(x.shape)


class PackedRMSNorm(PackedLeaf):
    """Root-mean-square norm in single precision or better, as Llama computes it, with gain [K, D]."""

    def __init__(self, pack: PackState, eps: float) -> None:
        super().__init__(pack)
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[K * B, ..., D], normalised over D."""
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        normal = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)
        return (self.unfold(normal) * self.weight.to(x.dtype).unsqueeze(1)).reshape(x.shape)


class PackedEmbedding(PackedLeaf):
    """`nn.Embedding` with table [K, V, D]; ids [K * B, ...]."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """[K * B, ...] ids -> [K * B, ..., D]."""
        num_runs, num_symbols, width = self.weight.shape
        offsets = torch.arange(num_runs, device=ids.device).mul_(num_symbols).unsqueeze(1)
        rows = (ids.reshape(num_runs, -1) + offsets).reshape(ids.shape)
        return F.embedding(rows, self.weight.reshape(num_runs * num_symbols, width))


class PackedDropout(nn.Module):
    """Dropout with the masks of each run's own stream."""

    def __init__(self, pack: PackState, p: float) -> None:
        super().__init__()
        self.pack = pack
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any [K * B, ...]; nothing happens while evaluating."""
        if self.pack.dropout is None or self.p == 0.0:
            return x
        mask = self.pack.dropout.keep_mask(x.numel() // self.pack.num_runs, self.p, x.dtype)
        return x * mask.view(x.shape)


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
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

    Returns:
        Output [K * B, queries, H, D / H], and None in place of the weights.
    """
    assert attention_mask is None
    pack: PackState = module.pack  # pyright: ignore[reportAssignmentType]
    if key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(repeats, dim=1) for x in (key, value))
    drops = pack.dropout is not None and dropout > 0.0
    hidden = _hidden_pairs(module, pack, num_queries=query.shape[2], num_tokens=key.shape[2], device=query.device)
    if not drops and not (query.device.type == "cpu" and key.shape[2] < _FUSED_FROM_TOKENS_ON_CPU):
        visible = None if hidden is None else ~hidden
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, scale=scaling)
        return out.transpose(1, 2).contiguous(), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scale, key.transpose(-1, -2))
    if hidden is not None:
        scores = scores.masked_fill_(hidden, float("-inf"))
    weights = scores.softmax(-1)
    if drops:
        assert pack.dropout is not None
        keep = pack.dropout.keep_mask(weights.numel() // pack.num_runs, dropout, weights.dtype)
        weights = weights * keep.view(weights.shape)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


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


def packed_twin(leaf: nn.Module, pack: PackState) -> PackedLeaf:
    """The packed leaf that computes what `leaf` computes; its tensors are still to be set.

    Raises:
        AssertionError: no packed twin is known for this class.
    """
    if isinstance(leaf, Conv1D):
        return PackedLinear(pack, is_transposed=True)
    if isinstance(leaf, nn.Linear):
        return PackedLinear(pack)
    if isinstance(leaf, nn.LayerNorm):
        return PackedLayerNorm(pack, leaf.eps)
    if isinstance(leaf, nn.Embedding):
        return PackedEmbedding(pack)
    eps = getattr(leaf, "variance_epsilon", None)
    assert eps is not None, f"no packed twin for {type(leaf).__name__}"
    return PackedRMSNorm(pack, eps)


def adapt(core: nn.Module, pack: PackState) -> None:
    """Give `core` the pack's dropout masks, attention and first states, and a fast form of GPT-2's activation."""
    for parent in list(core.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, PackedDropout(pack, child.p))
            elif isinstance(child, NewGELUActivation):
                setattr(parent, name, TanhGelu())
        if hasattr(parent, "initial_state"):
            object.__setattr__(parent, "initial_state", _drawing_states(pack))
        # On every module, as it differs between architectures which of them call the attention interface.
        object.__setattr__(parent, "pack", pack)


def _drawing_states(pack: PackState) -> Callable[[int, int], torch.Tensor]:
    def draw(num_rows: int, width: int) -> torch.Tensor:
        assert pack.normals is not None, "this body draws its first states: the engine must set `normals`"
        return pack.normals.normal(num_rows, width)

    return draw


AttentionInterface.register(ATTENTION_NAME, packed_attention)
