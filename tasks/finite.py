"""What tasks with a finite set of stored examples share: splits, subsets, and copies on the device."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch

from tasks import counter
from tasks.base import Batch, ProtocolName, Split, Stream, Task, require_subset
from tasks.streams import ArrayStream, Examples


class FiniteTask(Task):
    """A task whose three splits are loaded once and then drawn from on the device."""

    floor_predictor = "the most common label of the training split"

    def __init__(self, protocol: ProtocolName, sizes: Mapping[Split, int]) -> None:
        self.protocol = protocol
        self._sizes = dict(sizes)
        self._stored: dict[torch.device, Mapping[Split, Examples]] = {}

    @abstractmethod
    def load(self) -> Mapping[Split, Examples]:
        """Read or make all splits, on the CPU; called once.

        Raises:
            MissingData, DamagedData: as `Task.check`.
        """

    @abstractmethod
    def decode(self, examples: Examples) -> Batch:
        """What a model sees of stored examples, on their device."""

    def augment(self, inputs: torch.Tensor, key: int, first: int) -> torch.Tensor:
        """Stored inputs of the training examples first .. first + N - 1 of a stream -> changed inputs."""
        del key, first
        return inputs

    def num_examples(self, split: Split) -> int | None:
        """The size that the split must have."""
        return self._sizes[split]

    def check(self) -> None:
        """Load everything."""
        self._on(torch.device("cpu"))

    def stream(self, seed: int, device: torch.device, num_train_examples: int | None = None) -> Stream:
        """Passes over the training split, or over a subset of it that the seed chooses."""
        key = counter.key(self.name, "train", seed)
        examples = self._on(device)["train"]
        if num_train_examples is not None:
            require_subset(self.name, num_train_examples, len(examples))
            chosen = counter.permutation(counter.key("subset", key), 0, len(examples), device)[:num_train_examples]
            examples = examples.take(chosen)
        return ArrayStream(examples, self.decode, key=key, augment=self.augment)

    def split(self, name: Split, device: torch.device) -> Batch:
        """A whole split, decoded."""
        return self.decode(self._on(device)[name])

    @property
    def floor_accuracy(self) -> float:
        """Accuracy of always giving the most common training label; loads the data."""
        splits = self._on(torch.device("cpu"))
        most_common = splits["train"].targets.flatten().long().bincount().argmax()
        hits = splits["test"].targets == most_common
        return self.accuracy_scale * float(hits.double().mean())

    def _on(self, device: torch.device) -> Mapping[Split, Examples]:
        cpu = torch.device("cpu")
        if cpu not in self._stored:
            self._stored[cpu] = self.load()
        if device not in self._stored:
            self._stored[device] = {name: examples.to(device) for name, examples in self._stored[cpu].items()}
        return self._stored[device]
