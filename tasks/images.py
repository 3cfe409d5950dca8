"""Images as sequences of square patches: MNIST, CIFAR-10, CIFAR-10 of the Long Range Arena, scikit-learn's digits.

A 4 x 4 image with patch size 2 gives 4 tokens of 4 values; patches and the pixels in them go row by row, and the
channels of a pixel stand together, as in the released code:

     0  1 |  2  3
     4  5 |  6  7        token 0 = ( 0,  1,  4,  5)    token 1 = ( 2,  3,  6,  7)
    ------+------
     8  9 | 10 11        token 2 = ( 8,  9, 12, 13)    token 3 = (10, 11, 14, 15)
    12 13 | 14 15

With patch size 4 MNIST has 49 tokens x 16 and CIFAR-10 64 x 48 in the released code; the paper's text says 64 x 16.
Test is always the whole official test set. Valid is held out of the official training set by a fixed permutation; the
released code has none. The floor is the most common class, what a model reaches that has learned nothing about images;
docs/data.md has the much higher accuracy of a linear classifier on the raw pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from tasks import augment, counter, image_files
from tasks.base import Batch, Layout, ProtocolName, Split, require_at_least
from tasks.files import DamagedData, check_count, data_root
from tasks.finite import FiniteTask
from tasks.image_files import NUM_CLASSES, Labelled
from tasks.streams import Examples


class ImageTask(FiniteTask):
    """Class attributes: side (pixels), channels, mean and std per channel of pixels scaled to 0 .. 1, split sizes."""

    side: ClassVar[int]
    num_channels: ClassVar[int]
    brightest: ClassVar[int] = 255
    mean: ClassVar[tuple[float, ...]] = (0.0,)
    std: ClassVar[tuple[float, ...]] = (1.0,)
    sizes: ClassVar[dict[Split, int]]
    chance_accuracy = 1 / NUM_CLASSES

    def __init__(self, protocol: ProtocolName, patch_size: int) -> None:
        super().__init__(protocol, self.sizes)
        require_at_least(1, patch_size=patch_size)
        if self.side % patch_size:
            divisors = ", ".join(str(d) for d in range(1, self.side + 1) if self.side % d == 0)
            message = f"patch size {patch_size} does not divide image side {self.side}; choose one of {divisors}"
            raise ValueError(message)
        self._patch_size = patch_size
        self.layout = Layout(
            num_tokens=(self.side // patch_size) ** 2,
            num_features=patch_size**2 * self.num_channels,
            num_symbols=None,
            num_readouts=1,
            num_targets=1,
            num_classes=NUM_CLASSES,
        )

    @abstractmethod
    def read(self, part: str) -> Labelled:
        """The official "train" or "test" part."""

    def load(self) -> Mapping[Split, Examples]:
        """Read both official parts, check their sizes, and hold valid out of train."""
        train = self._checked("train", self.sizes["train"] + self.sizes["valid"])
        test = self._checked("test", self.sizes["test"])
        shuffled = counter.permutation(counter.key(self.name, "valid"), 0, len(train), torch.device("cpu"))
        num_valid = self.sizes["valid"]
        return {"train": train.take(shuffled[num_valid:]), "valid": train.take(shuffled[:num_valid]), "test": test}

    def decode(self, examples: Examples) -> Batch:
        """Stored bytes [N, C, S, S] -> normalised patches [N, T, F] float32."""
        pixels = examples.inputs.to(torch.float32)
        mean, std = (torch.tensor(values, device=pixels.device).view(-1, 1, 1) for values in (self.mean, self.std))
        # In place: a whole training split decoded is half a gigabyte, and every temporary as much again.
        pixels.sub_(mean * self.brightest).div_(std * self.brightest)
        return Batch(self._patches(pixels), examples.targets.long())

    def _patches(self, pixels: torch.Tensor) -> torch.Tensor:
        num, channels = pixels.shape[:2]
        across, size = self.side // self._patch_size, self._patch_size
        grid = pixels.view(num, channels, across, size, across, size)
        return grid.permute(0, 2, 4, 3, 5, 1).reshape(num, across**2, size**2 * channels)

    def _checked(self, part: str, num_expected: int) -> Examples:
        labelled = self.read(part)
        check_count(labelled.source, len(labelled.labels), num_expected, f"{part} images")
        shape = (self.num_channels, self.side, self.side)
        if labelled.images.shape[1:] != shape:
            raise DamagedData(f"{labelled.source}: images of shape {labelled.images.shape[1:]}, expected {shape}")
        return _stored(labelled)


class Mnist(ImageTask):
    """Handwritten digits, 28 x 28 gray, without resizing, normalisation or augmentation."""

    name = "mnist"
    protocol_note = "the protocols do not differ: 28 x 28 as in the released code, not the paper's 32 x 32"
    side = 28
    num_channels = 1
    sizes: ClassVar[dict[Split, int]] = {"train": 55_000, "valid": 5_000, "test": 10_000}
    checksums: ClassVar[dict[str, str]] = image_files.MNIST_CHECKSUMS

    def __init__(self, *, protocol: ProtocolName = "fixed", patch_size: int = 4) -> None:
        super().__init__(protocol, patch_size)
        self._folder = data_root() / "mnist"

    def read(self, part: str) -> Labelled:
        """IDX files or the hub."""
        return image_files.read_mnist(self._folder, part, self.checksums)


class Cifar10(ImageTask):
    """Ten classes of photographs, 32 x 32 RGB; training images are cropped, flipped and rotated at random."""

    name = "cifar10"
    protocol_note = "the protocols do not differ: training images are augmented in both, as in the released code"
    side = 32
    num_channels = 3
    # As in the released code (cifar10.py); the usual per-channel figures of the training set.
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2023, 0.1994, 0.2010)
    sizes: ClassVar[dict[Split, int]] = {"train": 45_000, "valid": 5_000, "test": 10_000}

    def __init__(self, *, protocol: ProtocolName = "fixed", patch_size: int = 4) -> None:
        super().__init__(protocol, patch_size)
        self._folder = data_root() / "cifar10"

    def read(self, part: str) -> Labelled:
        """Binary batches or the hub."""
        return image_files.read_cifar10(self._folder, part)

    def augment(self, inputs: torch.Tensor, key: int, first: int) -> torch.Tensor:
        """Random crop, flip and rotation."""
        return augment.random_views(inputs, key, first)


class Cifar10Lra(Cifar10):
    """CIFAR-10 in gray, one pixel a token, 1024 tokens (Long Range Arena, Tay et al. 2020)."""

    name = "cifar10-lra"
    protocol_note = "paper feeds normalised real pixels and augments; fixed is LRA's: 256 pixel ids, no augmentation"

    def __init__(self, *, protocol: ProtocolName = "fixed") -> None:
        super().__init__(protocol=protocol, patch_size=1)
        is_real = protocol == "paper"
        self.layout = Layout(
            num_tokens=self.side**2,
            num_features=1 if is_real else None,
            num_symbols=None if is_real else 256,
            num_readouts=1,
            num_targets=1,
            num_classes=NUM_CLASSES,
        )

    def augment(self, inputs: torch.Tensor, key: int, first: int) -> torch.Tensor:
        """Random crop, flip and rotation under `paper` only."""
        return super().augment(inputs, key, first) if self.protocol == "paper" else inputs

    def decode(self, examples: Examples) -> Batch:
        """Stored RGB -> gray in -1 .. 1, [N, 1024, 1] (`paper`), or pixel ids, [N, 1024] (`fixed`)."""
        # Luma weights of torchvision and TensorFlow alike (ITU-R 601-2).
        weights = torch.tensor([0.2989, 0.587, 0.114], device=examples.inputs.device).view(-1, 1, 1)
        gray = (examples.inputs.to(torch.float32) * weights).sum(dim=1).flatten(1) / 255
        if self.protocol == "paper":
            return Batch(gray.unsqueeze(-1) * 2 - 1, examples.targets.long())
        # TensorFlow's float-to-uint8 conversion, which the Long Range Arena goes through: scale by 255.5, round down.
        return Batch((gray * 255.5).long(), examples.targets.long())


class Digits(ImageTask):
    """scikit-learn's handwritten digits, 8 x 8: real images that need no download; 60/20/20 split within each class."""

    name = "digits"
    protocol_note = "the protocols do not differ: the paper does not have this task"
    side = 8
    num_channels = 1
    brightest = 16
    sizes: ClassVar[dict[Split, int]] = {"train": 1_079, "valid": 359, "test": 359}

    def __init__(self, *, protocol: ProtocolName = "fixed", patch_size: int = 2) -> None:
        super().__init__(protocol, patch_size)

    def read(self, part: str) -> Labelled:
        """The whole set; it has no official parts."""
        del part
        return image_files.read_digits()

    def load(self) -> Mapping[Split, Examples]:
        """Deal each class out in a fixed random order, 3 : 1 : 1."""
        labelled = self.read("all")
        check_count(labelled.source, len(labelled.labels), sum(self.sizes.values()), "digits")
        shuffled = counter.permutation(counter.key("digits", "split"), 0, len(labelled.labels), torch.device("cpu"))
        by_class = shuffled[torch.from_numpy(labelled.labels)[shuffled].argsort(stable=True)]
        dealt = torch.arange(len(by_class)) % 5
        places: dict[Split, torch.Tensor] = {"train": dealt < 3, "valid": dealt == 3, "test": dealt == 4}
        examples = _stored(labelled)
        return {split: examples.take(by_class[is_in]) for split, is_in in places.items()}


def _stored(labelled: Labelled) -> Examples:
    targets = torch.from_numpy(labelled.labels.astype(np.uint8)).unsqueeze(1)
    return Examples(torch.from_numpy(labelled.images.copy()), targets)
