"""Whole files in a folder or an object store: a commit is complete or absent, and the first writer wins.

Paths are relative to the root, with "/" between parts. Names that start with "." are temporary and never listed.
"""

from __future__ import annotations

import errno
import os
import time
import uuid
from pathlib import Path
from typing import Protocol

import pyarrow
import pyarrow.fs

from study.errors import UserError, one_line

STALE_SECONDS = 24 * 3600
"""Age at which a temporary file can have no living writer."""
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Storage(Protocol):
    """What a ledger needs of the place where it lies."""

    uri: str

    def kind(self, path: str = "") -> str:
        """ "missing", "file" or "folder"."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """Sorted names in a folder, files and folders, without temporary ones; empty where it is missing."""
        ...

    def read(self, path: str) -> bytes:
        """The whole file."""
        ...

    def commit(self, path: str, data: bytes) -> bool:
        """Write the whole file and its folders; False, and nothing changed, where the path already exists."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; a missing one is fine, since another process may have removed it."""
        ...

    def move(self, path: str, to: str) -> None:
        """Rename a file or folder; the target's folders are made."""
        ...

    def sweep(self, folder: str) -> None:
        """Remove temporary files that their writers left behind more than a day ago."""
        ...


def open_storage(uri: str) -> Storage:
    """The storage behind a local path or any URI that `pyarrow.fs` opens (s3://, gs://, ...). Writes nothing.

    Raises:
        UserError: the URI cannot be opened.
    """
    if "://" not in uri:
        return LocalStorage(uri, Path(uri).expanduser().absolute())
    try:
        filesystem, root = pyarrow.fs.FileSystem.from_uri(uri)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"cannot open '{one_line(uri)}': {one_line(error)}") from None
    if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return LocalStorage(uri, Path(root))
    return ObjectStorage(uri, filesystem, root)


def absolute(uri: str) -> str:
    """A URI, or a local path that means the same in every working folder."""
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


class LocalStorage:
    """A folder of a local or shared file system."""

    def __init__(self, uri: str, root: Path) -> None:
        self.uri = uri
        self.root = root

    def kind(self, path: str = "") -> str:
        """See `Storage`."""
        full = self.root / path
        return "folder" if full.is_dir() else "file" if full.exists() else "missing"

    def names(self, folder: str = "") -> list[str]:
        """See `Storage`."""
        try:
            return sorted(path.name for path in (self.root / folder).iterdir() if not path.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, path: str) -> bytes:
        """See `Storage`."""
        return (self.root / path).read_bytes()

    def commit(self, path: str, data: bytes) -> bool:
        """See `Storage`. Exclusive temporary file, fsync, hard link, fsync of the folder: safe at any crash."""
        final = self.root / path
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.parent / f".tmp-{uuid.uuid4().hex}"
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            is_first = _link(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(final.parent)
        return is_first

    def remove(self, path: str) -> None:
        """See `Storage`."""
        (self.root / path).unlink(missing_ok=True)

    def move(self, path: str, to: str) -> None:
        """See `Storage`."""
        target = self.root / to
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(target)

    def sweep(self, folder: str) -> None:
        """See `Storage`."""
        for temporary in (self.root / folder).glob(".tmp-*"):
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                temporary.unlink(missing_ok=True)


def _link(temporary: Path, final: Path) -> bool:
    """Give the temporary file its final name if that is free."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError as error:
        if temporary.stat().st_nlink == 2:  # NFS may lose the answer to a link that it did make
            return True
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Some FUSE mounts have no hard links: between two simultaneous writers the last wins, still with a whole file.
        if final.exists():
            return False
        temporary.replace(final)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ObjectStorage:
    """A prefix of an object store, through `pyarrow.fs`.

    One upload of the whole buffer per file: a streamed writer would leave a partial object when it fails.
    `pyarrow.fs` has no conditional write yet, so two writers that commit one path within the same moment both
    believe to be first; the objects stay whole, and readers of the ledger choose the winner by content.
    """

    def __init__(self, uri: str, filesystem: pyarrow.fs.FileSystem, root: str) -> None:
        self.uri = uri
        self.filesystem = filesystem
        self.root = root.rstrip("/")

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}".rstrip("/")

    def kind(self, path: str = "") -> str:
        """See `Storage`."""
        kinds = {pyarrow.fs.FileType.NotFound: "missing", pyarrow.fs.FileType.Directory: "folder"}
        return kinds.get(self.filesystem.get_file_info(self._full(path)).type, "file")

    def names(self, folder: str = "") -> list[str]:
        """See `Storage`."""
        found = self.filesystem.get_file_info(pyarrow.fs.FileSelector(self._full(folder), allow_not_found=True))
        return sorted(info.base_name for info in found if not info.base_name.startswith("."))

    def read(self, path: str) -> bytes:
        """See `Storage`."""
        with self.filesystem.open_input_stream(self._full(path)) as stream:
            return stream.read()

    def commit(self, path: str, data: bytes) -> bool:
        """See `Storage`."""
        if self.kind(path) != "missing":
            return False
        self.filesystem.create_dir(self._full(path).rpartition("/")[0])
        with self.filesystem.open_output_stream(self._full(path)) as stream:
            stream.write(data)
        return True

    def remove(self, path: str) -> None:
        """See `Storage`."""
        if self.kind(path) == "file":
            self.filesystem.delete_file(self._full(path))

    def move(self, path: str, to: str) -> None:
        """See `Storage`."""
        self.filesystem.create_dir(self._full(to).rpartition("/")[0])
        self.filesystem.move(self._full(path), self._full(to))

    def sweep(self, folder: str) -> None:
        """Nothing to do: an upload leaves no temporary objects."""
