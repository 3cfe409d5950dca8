"""Images: their class for ViT, their pixels for the others, from the patches that the image tasks make.

Pixels are predicted as classes, as in iGPT (Chen et al. 2020, "Generative Pretraining from Pixels"), which predicts the
next one autoregressively or hidden ones as BERT does; here a patch of pixels is a token, as in BEiT (Bao et al. 2022,
arXiv 2106.08254), and the pixels of a patch are predicted independently. ViT is pretrained on classes, as published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from study.objectives.base import Objective
from study.objectives.baselines import commonest, unigram_entropy
from study.objectives.prediction import rows_batch, rows_layout
from tasks import counter
from tasks.base import Batch, Layout
from tasks.images import ImageTask
from tasks.source import Source

_NUM_HELD_OUT = 1024
"""Images that are scored, the first of the validation split."""
_NUM_LEVELS = 16
"""Of images whose values are finer than `_MOST_VALUES`; iGPT has 512 colours, 3 bits for each of three channels."""
_MOST_VALUES = 32
_CPU = torch.device("cpu")


def classification(task: ImageTask, data: Source, *, seed: int) -> Objective:
    """The class of an image, read from the last token.

    Args:
        task: images with their classes.
        data: their name and checksum.
        seed: of the order (and augmentation) of the training images.
    """
    held_out = _first(task.split("valid", _CPU))
    return Objective(
        layout=task.layout,
        stream=task.stream(seed, _CPU),
        held_out=held_out,
        ties_output=False,
        metric="accuracy",
        measure=lambda _loss, accuracy: accuracy,
        is_better_lower=False,
        baseline=commonest(held_out.targets),
        source=_source(data, "class of the image"),
    )


def pixels(task: ImageTask, data: Source, *, is_causal: bool, seed: int) -> Objective:
    """The pixels of the next patch, or of hidden patches.

    Args:
        task: images.
        data: their name and checksum.
        is_causal: predict the next patch, not the hidden ones.
        seed: of the order (and augmentation) of the training images, and of what is hidden.
    """
    held_out = _first(task.split("valid", _CPU))
    held_out_key = counter.key("vision", "held-out")
    return Objective(
        layout=pixels_layout(task, is_causal=is_causal),
        stream=_PixelStream(task, is_causal=is_causal, seed=seed),
        held_out=_pixel_batch(task, held_out.inputs, is_causal=is_causal, key=held_out_key, first=0),
        ties_output=False,
        metric="bits_per_value" if is_causal else "masked_bits_per_value",
        measure=lambda loss, _accuracy: loss / math.log(2),
        is_better_lower=True,
        baseline=unigram_entropy(levels(task, held_out.inputs).numpy()),
        source=_source(data, f"pixel values in {num_levels(task)} levels"),
    )


def pixels_layout(task: ImageTask, *, is_causal: bool) -> Layout:
    """The layout of `pixels`; reads no images."""
    num_tokens, num_values = task.layout.num_tokens, task.layout.num_features
    assert num_values is not None
    return rows_layout(num_tokens=num_tokens, num_values=num_values, num_classes=num_levels(task), is_causal=is_causal)


def num_levels(task: ImageTask) -> int:
    """Classes of a pixel value: the values themselves where they are few."""
    return task.brightest + 1 if task.brightest < _MOST_VALUES else _NUM_LEVELS


def levels(task: ImageTask, patches: torch.Tensor) -> torch.Tensor:
    """Normalised patches [N, T, F] as the tasks give them -> the level of each value, same shape, int64."""
    per_pixel = patches.shape[-1] // len(task.mean)
    mean, std = (torch.tensor(values).repeat(per_pixel) for values in (task.mean, task.std))
    brightness = (patches * std + mean).clamp(0.0, 1.0)
    return (brightness * (num_levels(task) - 1)).round().long()


class _PixelStream:
    """The task's own stream of images, turned into what is predicted of them."""

    def __init__(self, task: ImageTask, *, is_causal: bool, seed: int) -> None:
        self._task = task
        self._is_causal = is_causal
        self._key = counter.key("vision", "train", seed)
        self._images = task.stream(seed, _CPU)

    def draw(self, num_examples: int) -> Batch:
        """The next images."""
        first = int(self.state_dict()["num_drawn"])
        return self._batch(self._images.draw(num_examples).inputs, first)

    def examples(self) -> Batch:
        """All training images, without augmentation."""
        return self._batch(self._images.examples().inputs, 0)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The number of images drawn."""
        return self._images.state_dict()

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from such a state."""
        self._images.load_state_dict(state)

    def _batch(self, patches: torch.Tensor, first: int) -> Batch:
        return _pixel_batch(self._task, patches, is_causal=self._is_causal, key=self._key, first=first)


def _pixel_batch(task: ImageTask, patches: torch.Tensor, *, is_causal: bool, key: int, first: int) -> Batch:
    classes = levels(task, patches)
    if is_causal:
        # Every patch is predicted, the first one from a row of zeros.
        patches, classes = (torch.cat([torch.zeros_like(part[:, :1]), part], dim=1) for part in (patches, classes))
    return rows_batch(patches, classes, is_causal=is_causal, key=key, first=first)


def _first(split: Batch) -> Batch:
    return Batch(split.inputs[:_NUM_HELD_OUT], split.targets[:_NUM_HELD_OUT])


def _source(data: Source, predicted: str) -> dict[str, str]:
    return {"corpus": data.name, "corpus_checksum": data.checksum, "predicted": predicted}
