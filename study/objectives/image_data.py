"""Which images: the data sets of the image tasks, or one of the hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from tasks import image_files
from tasks.catalogue import make_task
from tasks.images import ImageTask
from tasks.images_hub import FILE, HubImages, fetch
from tasks.source import Source


@dataclass(frozen=True)
class ImageData(Source):
    """Images with their classes; `name` is that of an image task, or "hub:" and the data set.

    Attributes:
        folder: where images of the hub are kept; None for an image task.
    """

    folder: Path | None = None

    def task(self, *, patch_size: int) -> ImageTask:
        """The task that reads them and cuts them into patches."""
        if self.folder is not None:
            return _hub_images(self.folder, patch_size)
        return _image_task(self.name, patch_size=patch_size)


@cache
def image_data(name: str, root: Path, num_images: int) -> ImageData:
    """A data set with the checksum of its files as they lie there, packed or not; of its images where it is the hub's.

    Args:
        name: an image task, or "hub:<repository>[:<configuration>][@<revision>]".
        root: the data folder.
        num_images: to fetch of a data set of the hub.

    Raises:
        tasks.files.MissingData: neither in the data folder nor on the hub.
    """
    if name.startswith("hub:"):
        folder = fetch(name, root, num_images=num_images)
        return ImageData(name, _checksum([folder / FILE]), folder)
    files = image_files.files_of(name, root)
    if files is not None:
        return ImageData(name, _checksum(files))
    labelled = _image_task(name).read("train")
    return ImageData(name, hashlib.sha256(labelled.images.tobytes() + labelled.labels.tobytes()).hexdigest())


def _checksum(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _image_task(name: str, **args: int) -> ImageTask:
    task = make_task(name, protocol="fixed", args=args)
    assert isinstance(task, ImageTask)
    return task


@lru_cache(maxsize=2)
def _hub_images(folder: Path, patch_size: int) -> HubImages:
    return HubImages(folder, patch_size=patch_size)
