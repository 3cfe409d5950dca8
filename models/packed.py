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
from transformers.pytorch_utils import Conv1D

from models.activation import TanhGelu
from models.randomness import DropoutStreams, NormalStreams


@dataclass
class Watch:
    """What a forward pass leaves behind where the weights of its first layer's attention are asked for.

    Attributes:
        num_queries: how many of the last tokens are asked about.
        weights: [K * B, H, num_queries, T], None until that layer was passed.
    """

    num_queries: int
    weights: torch.Tensor | None = None


@dataclass
class PackState:
    """What the leaves of one model share and the engine sets.

    Attributes:
        num_runs: K.
        dropout: mask streams while training, None while evaluating.
        normals: random states of bodies that draw them, training and evaluating; None for other bodies.
        lengths: [K * B] number of tokens that bidirectional attention may see; None for all.
        watch: takes the weights of the next layer that attends; None where nobody asks for them.
    """

    num_runs: int = 1
    dropout: DropoutStreams | None = None
    normals: NormalStreams | None = None
    lengths: torch.Tensor | None = None
    watch: Watch | None = None


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
