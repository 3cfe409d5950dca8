"""The model of the study: input layer -> + positions -> body -> readout, K runs at once. The file to read first.

Every parameter has a name ("input.weight", "positions", "body.h.0.ln_1.weight", ...) and a group. For one pack each
tensor is held in one of three ways:
  trained   a view of one row per run of a [K, P] matrix, so that clipping and Adam work row by row;
  owned     frozen but different in each run (a random body of its own, an untrained input layer): stacked, [K, ...];
  shared    frozen and the same for all runs: left in the `transformers` module, one copy for the pack.

Shapes: K runs, B examples per run, T tokens, F features, D width, R readouts, M targets per readout, C classes,
P trained parameters of one run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from models import Group, Part
from models.attention import ATTENTION_NAME
from models.bodies import Architecture
from models.gpt2 import Gpt2Core
from models.groups import trained_names
from models.heads import Heads
from models.packed import (
    PackedDropout,
    PackedEmbedding,
    PackedLeaf,
    PackedLinear,
    PackState,
    Watch,
    adapt,
    packed_twin,
)
from models.states import BODY, State, parameter_groups


@dataclass(frozen=True)
class Slot:
    """Where one tensor is used: attribute `name` of `leaf`."""

    leaf: PackedLeaf
    name: str


class PackedFPT(nn.Module):
    """K runs of one architecture, on one device.

    Args:
        architecture: the body without weights.
        heads: token layout and output sizes.
        states: per run, name -> tensor for every parameter, in master precision. Runs that share a frozen body pass
            the same tensor objects; what differs in identity is stacked.
        groups: groups, and parts of groups, that are trained.
        dropout: probability at every dropout site (after the input layer and inside the body).
        compute_dtype: precision of activations and frozen weights; trained tensors keep the states' precision.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        heads: Heads,
        states: Sequence[State],
        groups: Sequence[Group | Part],
        dropout: float,
        device: torch.device,
        compute_dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.is_causal = architecture.is_causal
        self.device = device
        self.compute_dtype = compute_dtype
        self.pack = PackState(num_runs=len(states))
        self.core = architecture.build(attention=ATTENTION_NAME, dropout=dropout)
        self.input: PackedLeaf = PackedEmbedding(self.pack) if heads.num_features is None else PackedLinear(self.pack)
        self.positions = PackedLeaf(self.pack)
        self.output = PackedLinear(self.pack)
        self.input_dropout = PackedDropout(self.pack, dropout)
        self.group_of = parameter_groups(architecture, states[0])
        self.trains_below_output = any(group is not Group.OUTPUT for group in groups)
        last_layer = BODY + architecture.order.prefix.format(architecture.num_layers - 1)
        names = trained_names(self.group_of, groups, last_layer=last_layer)
        self.trained = sorted(names, key=lambda name: (not self._is_decayed(name, states[0]), name))
        self.num_decayed = sum(states[0][name].numel() for name in names if self._is_decayed(name, states[0]))
        self._shapes = {name: states[0][name].shape for name in self.trained}
        self._owned: dict[str, torch.Tensor] = {}
        self._slots: dict[str, Slot] = {}
        self._install(states)
        matrix = torch.stack([torch.cat([state[name].flatten() for name in self.trained]) for state in states])
        self.bind(matrix.to(device), list(range(len(states))))

    def _is_decayed(self, name: str, state: State) -> bool:
        """Weight decay acts on matrices only: not on biases, norms or the position table."""
        return state[name].ndim > 1 and self.group_of[name] is not Group.POSITIONS

    def _install(self, states: Sequence[State]) -> None:
        """Put shared tensors into the core, replace the leaves that are packed and stack what the runs own."""
        trained = set(self.trained)
        is_packed = {
            name: name in trained or not name.startswith(BODY) or any(s[name] is not states[0][name] for s in states)
            for name in self.group_of
        }
        for path, leaf in list(self.core.named_modules()):
            own = {name: f"{BODY}{path}.{name}" for name, _ in leaf.named_parameters(recurse=False)}
            if any(is_packed[full] for full in own.values()):
                twin = packed_twin(leaf, self.pack)
                parent, _, attribute = path.rpartition(".")
                setattr(self.core.get_submodule(parent), attribute, twin)
                self._slots |= {full: Slot(twin, name) for name, full in own.items()}
            else:
                for name, full in own.items():
                    frozen = states[0][full].to(self.device, self.compute_dtype)
                    setattr(leaf, name, nn.Parameter(frozen, requires_grad=False))
        for part in ("input", "output"):
            self._slots |= {f"{part}.{n}": Slot(getattr(self, part), n) for n in ("weight", "bias")}
        self._slots["positions"] = Slot(self.positions, "weight")
        self._slots = {name: slot for name, slot in self._slots.items() if name in self.group_of}
        for name in self._slots:
            if name not in trained:
                stacked = torch.stack([state[name] for state in states])
                self._owned[name] = stacked.to(self.device, self.compute_dtype)
        adapt(self.core, self.pack)
        self.core.to(self.device)
        self.core.train()

    def bind(self, matrix: torch.Tensor, rows: Sequence[int]) -> None:
        """Use `matrix` [K, P] for the trained tensors of the runs `rows` (indices into the runs bound last)."""
        assert matrix.shape[0] == len(rows)
        self._owned = self._owned_by(rows)
        self.matrix = matrix.detach().requires_grad_()
        self.refresh()

    def refresh(self) -> None:
        """Point every leaf at its part of `matrix`; before each forward pass whose gradient is wanted.

        One split serves all leaves, so that the backward pass writes `matrix.grad` [K, P] with a single concatenation.
        """
        self._set_tensors(self.matrix, self._owned)

    @contextlib.contextmanager
    def evaluating(self, matrix: torch.Tensor, rows: Sequence[int]) -> Iterator[None]:
        """Within the block the model is the runs `rows` with parameters `matrix`, without dropout or gradients."""
        dropout, self.pack.dropout = self.pack.dropout, None
        normals = self.pack.normals
        try:
            with torch.no_grad():
                self.pack.normals = None if normals is None else normals.keep(rows)
                self._set_tensors(matrix, self._owned_by(rows))
                yield
        finally:
            self.pack.dropout, self.pack.normals = dropout, normals
            self.refresh()

    def _owned_by(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        if list(rows) == list(range(self.pack.num_runs)):
            return self._owned
        return {name: tensor[list(rows)] for name, tensor in self._owned.items()}

    def _set_tensors(self, matrix: torch.Tensor, owned: Mapping[str, torch.Tensor]) -> None:
        self.pack.num_runs = matrix.shape[0]
        for name, tensor in {**self._views(matrix), **owned}.items():
            slot = self._slots[name]
            setattr(slot.leaf, slot.name, tensor)

    def _views(self, matrix: torch.Tensor) -> dict[str, torch.Tensor]:
        """Name -> [K, *shape] view of the columns that hold it."""
        columns = matrix.split([self._shapes[name].numel() for name in self.trained], dim=1)
        return {
            name: column.view(matrix.shape[0], *self._shapes[name])
            for name, column in zip(self.trained, columns, strict=True)
        }

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [K, B, R * M, C] in single precision or better.

        Args:
            inputs: [K, B, T, F] real values or [K, B, T] symbol ids.
            lengths: [K, B] number of real tokens, or None.
        """
        return self.readout(self.features(inputs, lengths))

    def features(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """What the output layer reads, [K * B, R, D]; without gradients where nothing below it is trained."""
        num_runs, num_examples = inputs.shape[:2]
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trains_below_output):
            flat = inputs.flatten(0, 1)
            hidden = self.input_dropout(self.input(flat if flat.ndim == 2 else flat.to(self.compute_dtype)))
            hidden = hidden.to(self.compute_dtype)
            if "positions" in self._slots:
                table = self.positions.weight.to(hidden.dtype).unsqueeze(1)
                hidden = (hidden.view(num_runs, num_examples, *hidden.shape[1:]) + table).flatten(0, 1)
            flat_lengths = None if lengths is None else lengths.reshape(-1)
            self.pack.lengths = flat_lengths if self.heads.masks_padding and not self.is_causal else None
            return self._read(hidden, flat_lengths)

    def first_attention(self, inputs: torch.Tensor) -> torch.Tensor | None:
        """How the tokens that are read attend in the first layer, [K, B, H, R, T], each query's weights adding up to 1.

        In single precision or better, from the queries and keys that the runs compute; to be called within
        `evaluating`, so that no dropout takes part. None for a body that does not attend.

        Args:
            inputs: as for `forward`, every token real.
        """
        watch = self.pack.watch = Watch(self.heads.num_readouts)
        try:
            self.features(inputs)
        finally:
            self.pack.watch = None
        return None if watch.weights is None else watch.weights.unflatten(0, inputs.shape[:2])

    def _read(self, hidden: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """The body's output at the tokens that are read, [K * B, R, D]."""
        if self.heads.reads_last_real:
            assert lengths is not None
            last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden.shape[2])
            return self.core(hidden).gather(1, last)
        if isinstance(self.core, Gpt2Core):
            return self.core.last(hidden, self.heads.num_readouts)
        return self.core(hidden)[:, -self.heads.num_readouts :]

    def readout(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [K, B, R * M, C] of features [K * B, R, D]."""
        logits = self.output(features)
        shape = (self.pack.num_runs, -1, self.heads.num_readouts * self.heads.num_targets, self.heads.num_classes)
        return logits.reshape(shape).to(self.matrix.dtype)
