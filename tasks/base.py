"""The contract of a task: a layout of tokens, three splits, one training stream per run, and a trivial baseline.

A task knows no model. Shapes: N examples, T tokens, F features per token, R tokens that are read out,
M targets per read token, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch

Split = Literal["train", "valid", "test"]
ProtocolName = Literal["paper", "fixed"]


@dataclass(frozen=True)
class Layout:
    """How one example looks to a sequence model; exactly one of num_features and num_symbols is set.

    Attributes:
        num_tokens: T, positions that the body sees.
        num_features: F, real values per token (linear input layer), or None.
        num_symbols: V, size of the token vocabulary (embedding input layer), or None.
        num_readouts: R, number of tokens that the output layer reads: the last R positions, or, where
            `reads_last_real` is true, the last real token of each example (then R = 1).
        num_targets: M, predictions per read token (Bit Memory reads 50 bits from each token).
        num_classes: C, classes per prediction.
        reads_last_real: the readout follows `Batch.lengths` instead of standing at the end.
        masks_padding: bodies that see both ways must not attend beyond `Batch.lengths`.
    """

    num_tokens: int
    num_features: int | None
    num_symbols: int | None
    num_readouts: int
    num_targets: int
    num_classes: int
    reads_last_real: bool = False
    masks_padding: bool = False

    def __post_init__(self) -> None:
        assert (self.num_features is None) != (self.num_symbols is None)
        assert 1 <= self.num_readouts <= self.num_tokens
        assert self.num_readouts == 1 or not self.reads_last_real


@dataclass(frozen=True)
class Batch:
    """N examples on one device.

    Attributes:
        inputs: [N, T, F] float32, or [N, T] int64 symbol ids.
        targets: [N, R * M] int64 class indices.
        lengths: [N] int64, number of real tokens of each example; None where every token is real.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor | None = None


@dataclass(frozen=True)
class Probe:
    """Examples of which it is known where a model that solves the task has to look.

    Which tokens matter may differ from example to example; `order` puts them at the same places in all of them.

    Attributes:
        inputs: [N, T, F] or [N, T] as in `Batch`, every token real; the same for all runs with the same arguments.
        order: [N, T] int64, the token of each example that stands at each place.
        relevant: [R, T] bool, the places that matter to each of the tokens that are read.
    """

    inputs: torch.Tensor
    order: torch.Tensor
    relevant: torch.Tensor


class Stream(Protocol):
    """An endless, seeded sequence of training examples of one run; alone or packed it gives the same examples."""

    def draw(self, num_examples: int) -> Batch:
        """The next `num_examples` examples; drawing 2 x 8 equals drawing 16."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything needed to continue bit-identically, as tensors on the CPU."""
        ...

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a state that `state_dict` returned."""
        ...

    def examples(self) -> Batch:
        """The finite set that the stream draws from, without augmentation; a fixed sample where it is endless."""
        ...


class Task(ABC):
    """One task under one protocol. Construction checks arguments and touches no file.

    Class attributes:
        name: as in `tasks.TASKS`; the task's arguments are the keyword-only parameters of `__init__`.
        protocol_note: one line: what `paper` does that `fixed` does not, or that they do not differ.
        is_generated: examples are (unless an argument says otherwise) made from a seed, not read from files.
    """

    name: ClassVar[str]
    protocol_note: ClassVar[str]
    is_generated: ClassVar[bool] = False

    protocol: ProtocolName
    layout: Layout
    chance_accuracy: float
    """Accuracy of a uniform guess, `accuracy_scale` included."""
    floor_predictor: str
    """The best trivial predictor, in words."""
    accuracy_scale: float = 1.0
    """Factor the protocol applies to a reported accuracy (1.0 everywhere but homology under `paper`)."""

    @property
    @abstractmethod
    def floor_accuracy(self) -> float:
        """Accuracy of `floor_predictor` on the test split, `accuracy_scale` included; may have to read the data."""

    @abstractmethod
    def num_examples(self, split: Split) -> int | None:
        """Number of examples of a split; None for an endless training stream. Known without reading files.

        Where a protocol drops long examples this is the number before dropping.
        """

    @abstractmethod
    def check(self) -> None:
        """Read and verify every file the task needs.

        Raises:
            MissingData: a file is absent (a run of this task becomes a recorded failure).
            DamagedData: a file is truncated, has a wrong checksum or a label out of range (refused before any work).
        """

    @abstractmethod
    def stream(self, seed: int, device: torch.device, num_train_examples: int | None = None) -> Stream:
        """The training stream of the run with this seed, over a seeded subset where `num_train_examples` is given."""

    @abstractmethod
    def split(self, name: Split, device: torch.device) -> Batch:
        """A whole split without augmentation, the same for every run; an endless `train` gives a fixed sample."""

    def probe(self, device: torch.device) -> Probe | None:  # noqa: ARG002 - of the tasks that have one
        """Examples that show where a model looks; None where nobody knows where it should."""
        return None


def require_at_least(minimum: int, **arguments: int) -> None:
    """Refuse, with a ValueError, an argument below the minimum."""
    for argument, value in arguments.items():
        if value < minimum:
            raise ValueError(f"{argument} = {value} is too small; give {minimum} or more")


def require_subset(task: str, num_train_examples: int, num_available: int | None) -> None:
    """Refuse, with a ValueError, a training subset that is empty or larger than the training split."""
    if num_train_examples < 1 or (num_available is not None and num_train_examples > num_available):
        choice = "1 or more" if num_available is None else f"1 to {num_available}"
        raise ValueError(f"num_train_examples = {num_train_examples} does not fit {task}; give {choice}")
