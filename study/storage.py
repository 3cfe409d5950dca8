"""Whole files in a folder or an object store: a commit is complete or absent, and the first writer wins.

Paths are relative to the root, with "/" between parts. Names that start with "." are temporary and never listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow
import pyarrow.fs

from study.errors import UserError, one_line, place
from study.storage_local import LocalStorage
from study.storage_objects import ObjectStorage


class Storage(Protocol):
    """What a ledger needs of the place where it lies.

    Every method raises `study.errors.StorageError` where the place fails, `StorageFull` where it has no room.
    """

    uri: str

    def kind(self, path: str = "") -> str:
        """ "missing", "file" or "folder"."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """Sorted names in a folder, files and folders, without temporary ones; empty where it is missing."""
        ...

    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: another error number: this path alone is at fault (no permission, a folder, a loop of links).
        """
        ...

    def commit(self, path: str, data: bytes) -> bool:
        """Write the whole file and its folders; False, and nothing changed, where the path already exists.

        In a folder the first of simultaneous writers wins and only it is told so. An object store has no such
        operation in `pyarrow.fs`: writers within the same moment may all be told so, and the last one's file stays.
        """
        ...

    def replace(self, path: str, data: bytes) -> None:
        """Write the whole file and its folders in the place of any that is there: readers see the old or the new."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; a missing one is fine, since another process may have removed it."""
        ...

    def move(self, path: str, to: str) -> None:
        """Rename a file or folder; the target's folders are made.

        Raises:
            FileNotFoundError: there is no such path.
        """
        ...

    def sweep(self) -> None:
        """Remove temporary files whose writers died: here, or more than a day ago on another machine."""
        ...


def open_storage(uri: str) -> Storage:
    """The storage behind a local path or any URI that `pyarrow.fs` opens (s3://, gs://, ...). Writes nothing.

    Options of the URI are those of `pyarrow.fs`, such as s3://bucket/study?region=eu-west-1&endpoint_override=HOST.

    Raises:
        UserError: the URI cannot be opened.
    """
    if "://" not in uri:
        return LocalStorage(uri, _local(uri))
    try:
        filesystem, root = pyarrow.fs.FileSystem.from_uri(_in_one_request(uri))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"cannot open '{place(uri)}': {one_line(error).replace(uri, place(uri))}") from None
    if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return LocalStorage(uri, Path(root))
    return ObjectStorage(uri, filesystem, root)


def absolute(uri: str) -> str:
    """A URI, or a local path that means the same in every working folder."""
    return uri if "://" in uri else str(_local(uri))


def _local(uri: str) -> Path:
    try:
        return Path(uri).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"'{one_line(uri)}': there is no such user, and so no home folder") from None


def _in_one_request(uri: str) -> str:
    """Without this option pyarrow uploads even a small object in three requests, by the protocol for large ones."""
    if not uri.startswith("s3://") or "allow_delayed_open=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"
