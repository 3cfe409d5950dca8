"""The yardstick of the throughput table: one trial in the manner of the released code.

A `transformers` GPT2Model whose parameters are frozen by name, an input layer with dropout, an output layer, Adam over
everything that still has a gradient, gradients clipped to norm 1, loss and accuracy fetched to numpy at every step
(kzl/universal-computation, models/fpt.py and experiment.py; paper section 3). GPT-2's own dropout stays on. Written
anew for transformers 5; attention is the library's default of that release, "eager", as in 2021.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model

from models.heads import Heads


class ReleasedLoop:
    """One trial, fp32, frozen pretrained transformer.

    Args:
        config: the GPT-2.
        heads: token layout and output sizes.
        batch: inputs [B, T, F] or [B, T], and targets [B, R * M], used at every step.
        dropout: after the input layer and inside GPT-2.
    """

    def __init__(
        self, config: GPT2Config, *, heads: Heads, batch: tuple[torch.Tensor, torch.Tensor], dropout: float
    ) -> None:
        self.heads, self.batch = heads, batch
        device = batch[0].device
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = dropout
        config._attn_implementation = "eager"
        self.body = GPT2Model(config).to(device).train()
        width = config.n_embd
        first = nn.Embedding(heads.num_symbols, width) if heads.num_symbols else nn.Linear(heads.num_features, width)
        self.first = nn.Sequential(first, nn.Dropout(dropout)).to(device)
        self.last = nn.Linear(width, heads.num_outputs).to(device)
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad = "ln" in name or "wpe" in name
        modules = nn.ModuleList([self.body, self.first, self.last])
        self.parameters = [parameter for parameter in modules.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, lr=1e-3)
        self.loss = nn.CrossEntropyLoss()

    def advance(self, num_steps: int) -> None:
        """That many updates."""
        for _ in range(num_steps):
            self._step()

    def _step(self) -> None:
        inputs, targets = self.batch
        hidden = self.body(inputs_embeds=self.first(inputs)).last_hidden_state
        logits = self.last(hidden[:, -self.heads.num_readouts :]).reshape(-1, self.heads.num_classes)
        loss = self.loss(logits, targets.reshape(-1))
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        predictions = logits.detach().cpu().numpy().argmax(-1)
        self.last_accuracy = float(np.mean(predictions == targets.reshape(-1).cpu().numpy()))
        self.last_loss = loss.detach().cpu().item()
