"""Which images: the data sets of the image tasks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks import image_files
from tasks.catalogue import make_task
from tasks.images import ImageTask
from tasks.source import Source


@dataclass(frozen=True)
class ImageData(Source):
    """Images of one of the image tasks; `name` is the task's."""

    def task(self, *, patch_size: int) -> ImageTask:
        """The task that reads them and cuts them into patches."""
        task = make_task(self.name, protocol="fixed", args={"patch_size": patch_size})
        assert isinstance(task, ImageTask)
        return task


@cache
def image_data(name: str, root: Path) -> ImageData:
    """A data set with the checksum of its files as they lie there, packed or not; of its images where it is the hub's.

    Raises:
        tasks.files.MissingData: neither in the data folder nor on the hub.
    """
    digest = hashlib.sha256()
    files = image_files.files_of(name, root)
    for path in files or ():
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    if files is None:
        task = make_task(name, protocol="fixed", args={})
        assert isinstance(task, ImageTask)
        labelled = task.read("train")
        digest.update(labelled.images.tobytes() + labelled.labels.tobytes())
    return ImageData(name, digest.hexdigest())
