"""Training streams: over a finite set in memory, or made on the fly. Both are a key and a count, nothing more.

Drawing never waits for the device: the count lives on the host, the examples on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from tasks import counter
from tasks.base import Batch


@dataclass(frozen=True)
class Examples:
    """N examples as they are stored, usually as bytes; `FiniteTask.decode` makes of them what a model sees.

    Attributes:
        inputs: [N, ...] of any integer or real type.
        targets: [N, R * M] of any integer type.
        lengths: [N] of any integer type, or None where every token is real.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Examples:
        """The same examples on a device."""
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Examples(self.inputs.to(device), self.targets.to(device), lengths)

    def take(self, index: torch.Tensor) -> Examples:
        """The examples at `index` ([n] int64, on the same device), in that order."""
        lengths = None if self.lengths is None else self.lengths.index_select(0, index)
        return Examples(self.inputs.index_select(0, index), self.targets.index_select(0, index), lengths)


class _Counted:
    """A stream whose state is the number of examples drawn so far."""

    def __init__(self) -> None:
        self._num_drawn = 0

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The number of examples drawn so far, on the CPU."""
        return {"num_drawn": torch.tensor(self._num_drawn)}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue bit-identically from a state that `state_dict` returned."""
        self._num_drawn = int(state["num_drawn"])


class ArrayStream(_Counted):
    """Endless passes over a finite set, each in a new order; a pass may end in the middle of a draw."""

    def __init__(
        self,
        examples: Examples,
        decode: Callable[[Examples], Batch],
        *,
        key: int,
        augment: Callable[[torch.Tensor, int, int], torch.Tensor] | None = None,
    ) -> None:
        """Draw from examples that already lie on the device.

        Args:
            examples: the finite set.
            decode: stored examples -> what a model sees.
            key: what the orders (and the augmentations) are derived from.
            augment: (stored inputs, key, number of examples drawn before) -> stored inputs.
        """
        super().__init__()
        self._examples = examples
        self._decode = decode
        self._augment = augment
        self._order_key = counter.key("order", key)
        self._augment_key = counter.key("augment", key)
        self._epoch = -1
        self._order = torch.empty(0)

    def draw(self, num_examples: int) -> Batch:
        """The next `num_examples` examples, gathered at once."""
        first = self._num_drawn
        drawn = self._examples.take(self._indices(first, num_examples))
        if self._augment is not None:
            drawn = Examples(self._augment(drawn.inputs, self._augment_key, first), drawn.targets, drawn.lengths)
        self._num_drawn += num_examples
        return self._decode(drawn)

    def examples(self) -> Batch:
        """The finite set, without augmentation."""
        return self._decode(self._examples)

    def _indices(self, first: int, num_examples: int) -> torch.Tensor:
        size = len(self._examples)
        pieces = []
        while num_examples > 0:
            epoch, offset = divmod(first, size)
            if epoch != self._epoch:
                self._order = counter.permutation(self._order_key, epoch, size, self._examples.targets.device)
                self._epoch = epoch
            pieces.append(self._order[offset : offset + num_examples])
            first += len(pieces[-1])
            num_examples -= len(pieces[-1])
        return torch.cat(pieces)


class GeneratedStream(_Counted):
    """Examples that are made when drawn, never twice the same."""

    def __init__(self, make: Callable[[int, int], Batch], *, num_sample: int) -> None:
        """Make examples with `make(first, num_examples)`; the first `num_sample` of them stand for the endless set."""
        super().__init__()
        self._make = make
        self._num_sample = num_sample

    def draw(self, num_examples: int) -> Batch:
        """Make the next `num_examples` examples."""
        first = self._num_drawn
        self._num_drawn += num_examples
        return self._make(first, num_examples)

    def examples(self) -> Batch:
        """The first examples of the stream, always the same."""
        return self._make(0, self._num_sample)
