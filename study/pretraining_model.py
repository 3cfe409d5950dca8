"""The model that is pretrained: a body between an input and an output layer that are thrown away afterwards."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import NewGELUActivation

from models.activation import TanhGelu
from models.bodies import Architecture
from models.initialise import body_state, input_layer, output_layer
from study.batches import derive_seed
from study.objectives.base import Objective

_EMBEDDING_DEVIATION = 0.02
"""GPT-2's, so that a tied output layer starts with small logits."""


class PretrainingModel(nn.Module):
    """Input layer, positions, body and output layer; dropout at the body's sites and after the input layer.

    Args:
        body: what is pretrained.
        objective: its layout says what the input and output layers are.
        seed: of every initial value.
        dropout: one probability for every site.
    """

    def __init__(self, body: Architecture, objective: Objective, *, seed: int, dropout: float) -> None:
        super().__init__()
        layout, self.layout = objective.layout, objective.layout
        generator = torch.Generator().manual_seed(derive_seed("pretraining layers", seed))
        init = "random-scaled" if body.residual_projections else "random"
        state = body_state(body, init, seed=seed)
        self.core = body.build(dropout=dropout)
        _use_fast_activation(self.core)
        self.core.load_state_dict({name: state[name] for name in body.core_shapes}, strict=False)
        self.position_name = body.position_name
        self.positions = nn.Parameter(state[body.position_name]) if body.position_name else None
        first = input_layer(
            num_features=layout.num_features,
            num_symbols=layout.num_symbols,
            width=body.width,
            gain=math.sqrt(2),
            generator=generator,
        )
        if layout.num_symbols is not None:
            first["weight"].normal_(0.0, _EMBEDDING_DEVIATION, generator=generator)
        num_outputs = layout.num_targets * layout.num_classes
        last = output_layer(width=body.width, num_outputs=num_outputs, generator=generator)
        self.input = nn.ParameterDict(first)
        self.output = nn.ParameterDict({} if objective.ties_output else last)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """[N, T, F] or [N, T] -> logits [N, R * M, C]."""
        weight = self.input["weight"]
        is_symbols = self.layout.num_symbols is not None
        hidden = F.embedding(inputs, weight) if is_symbols else F.linear(inputs, weight, self.input["bias"])
        if self.positions is not None:
            hidden = hidden + self.positions[: self.layout.num_tokens]
        read = self.core(self.dropout(hidden))[:, -self.layout.num_readouts :]
        if self.output:
            logits = F.linear(read, self.output["weight"], self.output["bias"])
        else:
            # The mask of a masked objective is a symbol that is never predicted.
            logits = F.linear(read, weight[: self.layout.num_classes])
        return logits.reshape(len(inputs), -1, self.layout.num_classes).float()

    def body(self) -> dict[str, torch.Tensor]:
        """The body's tensors, copied to the CPU."""
        state = {name: tensor.detach().float().cpu().clone() for name, tensor in self.core.named_parameters()}
        if self.position_name and self.positions is not None:
            state[self.position_name] = self.positions.detach().float().cpu().clone()
        return state


def _use_fast_activation(core: nn.Module) -> None:
    """GPT-2's activation as the engine computes it: a step of the nano body then takes a quarter less on a CPU."""
    for parent in list(core.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, NewGELUActivation):
                setattr(parent, name, TanhGelu())
