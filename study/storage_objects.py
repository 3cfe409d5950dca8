"""`study.storage.Storage` in an object store: whole uploads, and transient errors tried again for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import pyarrow
import pyarrow.fs

from study.errors import StorageError, StorageFull, one_line, place

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each further try. The client of S3 makes three requests per try, and gives up one after 3 s of silence."""
# No use to try these again, in the words of pyarrow's client of S3.
_FINAL = (
    "ACCESS_DENIED", "NO_SUCH_BUCKET", "allow_bucket_creation", "INVALID_ACCESS_KEY", "INVALID_CLIENT_TOKEN",
    "SIGNATURE_DOES_NOT_MATCH",
)  # fmt: skip
_ABSENT = "NO_SUCH_KEY"  # where a copy was done already and its answer lost; other requests raise FileNotFoundError
_FULL = ("QUOTA", "INSUFFICIENT_STORAGE", "INSUFFICIENTSTORAGE", "XMINIOSTORAGEFULL")

_Answer = TypeVar("_Answer")


class ObjectStorage:
    """A prefix of an object store, through `pyarrow.fs`.

    One upload of the whole buffer per file: a streamed writer would leave a partial object when it fails.
    `pyarrow.fs` (26) has no conditional write: it drops an If-None-Match in the metadata of an upload. So two writers
    that commit one path within the same moment both believe to be first; the objects stay whole, and readers of the
    ledger choose the winner by content.
    """

    def __init__(self, uri: str, filesystem: pyarrow.fs.FileSystem, root: str) -> None:
        self.uri = uri
        self.filesystem = filesystem
        self.root = root.rstrip("/")
        self._made: set[str] = set()

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}".rstrip("/")

    def kind(self, path: str = "") -> str:
        """See `Storage`."""
        kinds = {pyarrow.fs.FileType.NotFound: "missing", pyarrow.fs.FileType.Directory: "folder"}
        return kinds.get(self._tried(lambda: self.filesystem.get_file_info(self._full(path))).type, "file")

    def names(self, folder: str = "") -> list[str]:
        """See `Storage`."""
        selector = pyarrow.fs.FileSelector(self._full(folder), allow_not_found=True)
        found = self._tried(lambda: self.filesystem.get_file_info(selector))
        return sorted(info.base_name for info in found if not info.base_name.startswith("."))

    def read(self, path: str) -> bytes:
        """See `Storage`."""

        def whole() -> bytes:
            with self.filesystem.open_input_stream(self._full(path)) as stream:
                return stream.read()

        return self._tried(whole)

    def commit(self, path: str, data: bytes) -> bool:
        """See `Storage`."""
        if self.kind(path) != "missing":
            return False
        self.replace(path, data)
        return True

    def replace(self, path: str, data: bytes) -> None:
        """See `Storage`."""

        def upload() -> None:
            with self.filesystem.open_output_stream(self._full(path)) as stream:
                stream.write(data)

        self._make_folder_of(path)
        self._tried(upload)

    def remove(self, path: str) -> None:
        """See `Storage`."""
        try:
            self._tried(lambda: self.filesystem.delete_file(self._full(path)))
        except FileNotFoundError:
            return

    def move(self, path: str, to: str) -> None:
        """See `Storage`. A copy and a removal; after a crash between them both are there."""
        if self.kind(path) == "folder":
            raise StorageError(f"an object store has no folders that could be moved ('{path}')")
        self._make_folder_of(to)
        try:
            self._tried(lambda: self.filesystem.move(self._full(path), self._full(to)))
        except FileNotFoundError:
            if self.kind(to) == "missing":  # otherwise an earlier try did it, and its answer was lost
                raise

    def sweep(self) -> None:
        """Nothing to do: an upload leaves no temporary objects."""

    def _make_folder_of(self, path: str) -> None:
        folder = self._full(path).rpartition("/")[0]
        if folder not in self._made:
            self._tried(lambda: self.filesystem.create_dir(folder))
            self._made.add(folder)

    def _tried(self, action: Callable[[], _Answer]) -> _Answer:
        """The action's answer; every action here may be repeated where only its answer was lost.

        Raises:
            FileNotFoundError: as the action did.
            StorageError: it failed for good, or again and again.
        """
        for pause in (*_PAUSES_SECONDS, None):
            try:
                return action()
            except FileNotFoundError:
                raise
            except (pyarrow.ArrowException, OSError) as error:
                reason = one_line(error)
                if _ABSENT in reason:
                    raise FileNotFoundError(reason) from None
                if pause is None or any(word in reason for word in _FINAL):
                    kind = StorageFull if any(word in reason.upper() for word in _FULL) else StorageError
                    raise kind(f"'{place(self.uri)}' fails: {reason}") from None
            time.sleep(pause * random.uniform(0.5, 1.0))  # not all workers at the same moment
        raise AssertionError("the last try returns or raises")
