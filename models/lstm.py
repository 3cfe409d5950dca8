"""The paper's recurrent baseline: an LSTM with layer norm on gates and cell (Ba et al. 2016, supplement, eq. 20-22).

`lstm` is the one of the released code: 3 layers of width 768, no residual connections, no positions. `lstm-residual` is
the paper's LSTM*: as deep as the transformer, with residual connections and a position table.

Under protocol `paper` both do what the released code really does: gains and offsets of the norms are drawn from
U(-1/sqrt(n), 1/sqrt(n)), n being the norm's width, instead of starting at 1 and 0; hidden and cell states start at
random values of standard deviation 1/sqrt(D) at every forward pass, evaluation included; and the normalised cell, not
the cell, is carried to the next step. Left out: its norm divides by the unbiased deviation, 0.07 % off at width 768.

Groups: norms are `layernorm`; all matrices are `feedforward`, because nothing in an LSTM attends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from models import Group
from models.bodies import OWN_POSITIONS, Architecture, Order
from models.groups import Pattern
from models.sizes import shape

# Rows of the residual variant's position table: the longest task has 2048 tokens.
NUM_POSITIONS = 2048
# Of the released code's norms.
EPSILON = 1e-6


@dataclass(frozen=True)
class LstmConfig:
    """What an LSTM is made of; `is_as_released` adds the quirks named above, but for the norms' initial values."""

    width: int
    is_residual: bool
    is_as_released: bool = False


class LstmLayer(nn.Module):
    """One layer; gates stand in the order input, forget, output, candidate."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.carries_normalised_cell = config.is_as_released
        self.input_gates = nn.Linear(config.width, 4 * config.width)
        self.recurrent_gates = nn.Linear(config.width, 4 * config.width)
        self.norm_input = nn.LayerNorm(4 * config.width, eps=EPSILON)
        self.norm_recurrent = nn.LayerNorm(4 * config.width, eps=EPSILON)
        self.norm_cell = nn.LayerNorm(config.width, eps=EPSILON)

    def forward(self, inputs: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        """Hidden states [N, T, D] for inputs [N, T, D], starting from hidden and cell [N, 1, D]."""
        width = inputs.shape[-1]
        outputs = []
        for from_input in self.norm_input(self.input_gates(inputs)).split(1, dim=1):
            gates = from_input + self.norm_recurrent(self.recurrent_gates(hidden))
            input_gate, forget_gate, output_gate = gates[..., : 3 * width].sigmoid().chunk(3, dim=-1)
            cell = forget_gate * cell + input_gate * gates[..., 3 * width :].tanh()
            normalised = self.norm_cell(cell)
            hidden = output_gate * normalised.tanh()
            cell = normalised if self.carries_normalised_cell else cell
            outputs.append(hidden)
        return torch.cat(outputs, dim=1)


class LstmCore(nn.Module):
    """A stack of layers.

    Attributes:
        initial_state: (number of rows N, width D) -> standard normal values [N, D], called twice per layer and forward
            pass (hidden, then cell) where the released code's quirks are on, so that the randomness is the caller's.
    """

    def __init__(self, config: LstmConfig, num_layers: int) -> None:
        super().__init__()
        self.config = config
        self.initial_state: Callable[[int, int], torch.Tensor] | None = None
        self.layers = nn.ModuleList(LstmLayer(config) for _ in range(num_layers))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, T, D] -> [N, T, D]."""
        for layer in self.layers:
            output = layer(hidden, self._start(hidden), self._start(hidden))
            hidden = hidden + output if self.config.is_residual else output
        return hidden

    def _start(self, inputs: torch.Tensor) -> torch.Tensor:
        """A state [N, 1, D] before the first token."""
        num_rows, _, width = inputs.shape
        if not self.config.is_as_released:
            return inputs.new_zeros(num_rows, 1, width)
        assert self.initial_state is not None, "the released LSTM draws its states: set `initial_state`"
        return (self.initial_state(num_rows, width) / math.sqrt(width)).to(inputs.dtype).view(num_rows, 1, width)


def _core(config: LstmConfig, num_layers: int, _attention: str, _dropout: float) -> LstmCore:
    return LstmCore(config, num_layers)


def _draw(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Norms at 1 and 0, everything else U(-1/sqrt(D), 1/sqrt(D)) as in `torch.nn.LSTM` and in the released code."""
    if ".norm_" in name:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    # Gates have 4 D rows.
    bound = 1 / math.sqrt(shape[0] // 4)
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _draw_as_released(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    if ".norm_" not in name:
        return _draw(name, shape, generator)
    bound = 1 / math.sqrt(shape[0])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _as_released(clean: Architecture) -> Architecture:
    return replace(clean, config=replace(clean.config, is_as_released=True), draw=_draw_as_released)


def _describe(body: str, config: LstmConfig, num_layers: int) -> Architecture:
    return Architecture(
        body=body,
        width=config.width,
        num_layers=num_layers,
        depth=num_layers,
        num_heads=0,
        max_tokens=NUM_POSITIONS if config.is_residual else None,
        is_causal=True,
        patterns=(
            Pattern(r"layers\.\d+\.norm_(input|recurrent|cell)\.(weight|bias)", Group.LAYERNORM),
            Pattern(r"layers\.\d+\.(input|recurrent)_gates\.(weight|bias)", Group.FEEDFORWARD),
        ),
        order=Order(
            prefix="layers.{}.",
            layer=(("input_gates", "recurrent_gates"), ("norm_input", "norm_recurrent"), ("norm_cell",)),
            recurrent=("recurrent_gates",),
            # Gates before and after their activation, and the cell's way to the hidden state.
            num_kept_per_unit=1.0,
        ),
        position_name=OWN_POSITIONS if config.is_residual else None,
        residual_projections=None,
        config=config,
        make_core=_core,
        draw=_draw,
        as_released=_as_released,
    )


def lstm(size: str | None, _config: object) -> Architecture:
    """Three layers of a named size's width, or as many as the size says; any other number through `num_layers`."""
    assert size is not None, "an LSTM has no checkpoints"
    num_layers, width, _ = shape("lstm", size)
    return _describe("lstm", LstmConfig(width, is_residual=False), num_layers)


def lstm_residual(size: str | None, _config: object) -> Architecture:
    """The paper's LSTM*: the size's width and as many layers as the transformer of that size."""
    assert size is not None, "an LSTM has no checkpoints"
    num_layers, width, _ = shape("lstm-residual", size)
    return _describe("lstm-residual", LstmConfig(width, is_residual=True), num_layers)
