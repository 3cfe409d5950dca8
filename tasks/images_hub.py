"""Images of the hub's data sets: streamed, cut to a square, scaled to 32 x 32 RGB, and kept with their classes.

They lie in `$STUDY_DATA/hub/`, one folder for each data set and number; what lies there is used without asking the hub.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from tasks import counter
from tasks.base import Layout, Split
from tasks.corpora_hub import HubName, drafted, kept_folder, require_reachable
from tasks.files import DamagedData, MissingData
from tasks.image_files import Labelled
from tasks.images import ImageTask
from tasks.streams import Examples

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = "images.npz"
_SIDE = 32
_HELD_OUT = 0.1


class HubImages(ImageTask):
    """Images that were fetched; a tenth is held out. There is no test split: this is no task of the study."""

    name = "hub-images"
    protocol_note = "the protocols do not differ: the paper does not have these"
    side = _SIDE
    num_channels = 3
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    sizes: ClassVar[dict[Split, int]] = {}

    def __init__(self, folder: Path, *, patch_size: int) -> None:
        super().__init__("fixed", patch_size)
        self._path = folder / FILE
        with np.load(self._path) as arrays:
            num_classes = int(arrays["num_classes"])
        self.layout = Layout(**{**vars(self.layout), "num_classes": num_classes})

    def read(self, part: str) -> Labelled:
        """All of them; there are no parts."""
        del part
        try:
            with np.load(self._path) as arrays:
                return Labelled(arrays["images"], arrays["labels"], str(self._path))
        except (OSError, ValueError, KeyError) as error:
            raise DamagedData(f"{self._path}: {error}; remove it and fetch it again") from error

    def load(self) -> Mapping[Split, Examples]:
        """Hold a tenth out, by a fixed permutation."""
        labelled = self.read("all")
        examples = Examples(torch.from_numpy(labelled.images), torch.from_numpy(labelled.labels).unsqueeze(1))
        shuffled = counter.permutation(counter.key(self.name, "valid"), 0, len(examples), torch.device("cpu"))
        num_valid = max(1, round(len(examples) * _HELD_OUT))
        return {"train": examples.take(shuffled[num_valid:]), "valid": examples.take(shuffled[:num_valid])}


def fetch(name: str, root: Path, *, num_images: int) -> Path:
    """The folder with the first `num_images` images of a data set's training split, fetched where it is not there.

    Args:
        name: "hub:<repository>[:<configuration>][@<revision>]".
        root: the data folder.
        num_images: how many.

    Raises:
        MissingData: neither kept here nor to be fetched, or without images and classes.
    """
    folder = kept_folder(name, root, num_images)
    if folder.is_dir():
        return folder
    require_reachable(name, folder.parent)
    if importlib.util.find_spec("PIL") is None:
        raise MissingData(f"images of {name} need the package `pillow`; pip install pillow")
    with drafted(name, folder) as draft:
        rows = HubName.parse(name).load()["train"]
        image, label = _columns(rows.features)
        images, labels = [], []
        for row in rows:
            images.append(_square(row[image]))
            labels.append(row[label])
            if len(images) == num_images:
                break
        num_classes = getattr(rows.features[label], "num_classes", None) or max(labels) + 1
        np.savez(draft / FILE, images=np.stack(images), labels=np.array(labels, np.int64), num_classes=num_classes)
    return folder


def _columns(features: Mapping[str, Any]) -> tuple[str, str]:
    """The first column of images and the first of classes."""
    from datasets import ClassLabel, Image, Value

    image = next((name for name, kind in features.items() if isinstance(kind, Image)), None)
    labels = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    labels += [name for name, kind in features.items() if isinstance(kind, Value) and name in ("label", "labels")]
    if image is None or not labels:
        raise ValueError(f"no column of images and one of classes, but {', '.join(features)}")
    return image, labels[0]


def _square(image: Image) -> np.ndarray:
    """[3, 32, 32] uint8: the middle, scaled."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cut first: scaling a region would mix in what lies beside it.
    scaled = image.convert("RGB").crop((left, top, left + side, top + side)).resize((_SIDE, _SIDE))
    return np.asarray(scaled).transpose(2, 0, 1)
