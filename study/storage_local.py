"""`study.storage.Storage` in a folder of a local or shared file system: hard links make a commit exclusive."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from study.errors import StorageError, StorageFull, one_line
from study.processes import is_alive, machine

STALE_SECONDS = 24 * 3600
"""Age at which a temporary file can have no living writer, on whatever machine."""
_TEMPORARY = ".tmp-"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
# What one path alone can be the reason of; anything else is the disk or the network, and concerns every file.
_OF_ONE_PATH = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL, errno.ENAMETOOLONG}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_STALE_TRIES = 5
"""On NFS a file is stale where another machine removed or replaced it: the next look finds a new one, or none."""


class LocalStorage:
    """A folder of a local or shared file system."""

    def __init__(self, uri: str, root: Path) -> None:
        self.uri = uri
        self.root = root

    def kind(self, path: str = "") -> str:
        """See `Storage`."""
        full = self.root / path
        with self._told("look up", path):
            return "folder" if full.is_dir() else "file" if os.path.lexists(full) else "missing"

    def names(self, folder: str = "") -> list[str]:
        """See `Storage`."""
        full = self.root / folder
        try:
            with self._told("list", folder, gone={errno.ENOENT}), os.scandir(full) as entries:
                return sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except FileNotFoundError:
            if full.is_symlink():  # to a disk that is not there: far from empty
                raise StorageError(f"cannot list '{one_line(full)}': a link to nothing") from None
            return []

    def read(self, path: str) -> bytes:
        """See `Storage`."""
        with self._told("read", path, gone={errno.ENOENT, errno.ENOTDIR}, of_one_path=_OF_ONE_PATH):
            for _ in range(_STALE_TRIES):
                try:
                    return _content(self.root / path)
                except OSError as error:
                    if error.errno != errno.ESTALE:
                        raise
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def commit(self, path: str, data: bytes) -> bool:
        """See `Storage`. Exclusive temporary file, fsync, hard link, fsync of the folder: safe at any crash."""
        return self._write(path, data, _link)

    def replace(self, path: str, data: bytes) -> None:
        """See `Storage`."""
        self._write(path, data, _rename)

    def _write(self, path: str, data: bytes, publish: Callable[[Path, Path], bool]) -> bool:
        final = self.root / path
        temporary = final.parent / f"{_TEMPORARY}{_where()}-{os.getpid()}-{uuid.uuid4().hex}"
        with self._told("write", path):
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                is_first = publish(temporary, final)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
            _sync_folder(final.parent)
        return is_first

    def remove(self, path: str) -> None:
        """See `Storage`."""
        with self._told("remove", path, gone=_GONE):
            (self.root / path).unlink(missing_ok=True)

    def move(self, path: str, to: str) -> None:
        """See `Storage`."""
        target = self.root / to
        with self._told("write", to):
            target.parent.mkdir(parents=True, exist_ok=True)
        with self._told("move", path, gone=_GONE):
            (self.root / path).rename(target)

    def sweep(self) -> None:
        """See `Storage`."""
        with contextlib.suppress(OSError):  # a folder that cannot be read
            for temporary in self.root.rglob(f"{_TEMPORARY}*"):
                with contextlib.suppress(OSError):  # gone by now, another user's, a folder
                    if _has_lost_its_writer(temporary):
                        temporary.unlink()

    @contextlib.contextmanager
    def _told(
        self, what: str, path: str, *, gone: Set[int] = frozenset(), of_one_path: Set[int] = frozenset()
    ) -> Iterator[None]:
        """Turns errors of the system into those of `Storage`.

        Args:
            what: is being done.
            path: to what.
            gone: error numbers that say that the path does not exist.
            of_one_path: error numbers that stay as they are.
        """
        try:
            yield
        except OSError as error:
            if error.errno in gone:
                raise FileNotFoundError(errno.ENOENT, "no such file", path) from None
            if error.errno in of_one_path:
                raise
            place = one_line(self.root / path)
            if error.errno in _FULL:
                raise StorageFull(f"no room to write '{place}' ({error.strerror}); make room and repeat") from None
            raise StorageError(f"cannot {what} '{place}': {error.strerror or one_line(error)}") from None


def _content(path: Path) -> bytes:
    # Without O_NONBLOCK a named pipe would wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()


def _has_lost_its_writer(temporary: Path) -> bool:
    _, where, pid, _ = temporary.name.split("-") if temporary.name.count("-") == 3 else ("", "", "", "")
    has_died = where == _where() and pid.isdigit() and not is_alive(int(pid))
    return has_died or time.time() - temporary.stat().st_mtime > STALE_SECONDS


def _where() -> str:
    """This machine, in the names of temporary files."""
    return hashlib.sha256(machine().encode()).hexdigest()[:16]


def _link(temporary: Path, final: Path) -> bool:
    """Give the temporary file its final name if that is free."""
    try:
        os.link(temporary, final)
    except OSError as error:
        # NFS may lose the answer to a link that it did make, and say of the second try that the name is taken.
        if temporary.stat().st_nlink == 2:
            return True
        if isinstance(error, FileExistsError):
            return False
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Some FUSE mounts have no hard links: between two simultaneous writers the last wins, still with a whole file.
        if os.path.lexists(final):
            return False
        temporary.replace(final)
    return True


def _rename(temporary: Path, final: Path) -> bool:
    temporary.replace(final)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
