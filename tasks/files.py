"""Where data sets lie, how their files are opened, and the two ways in which they can fail."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_OPENERS = {"": lambda data: data, ".gz": gzip.decompress, ".xz": lzma.decompress}


class MissingData(Exception):
    """Data are neither in the data folder nor on the hub; the message says where they were sought and what mends it."""


class DamagedData(ValueError):
    """A file is not what it should be; the message names the file, what was found and what was expected."""


def data_root() -> Path:
    """The folder of all data sets: $STUDY_DATA, else `fpt-study` in the user's data folder ($XDG_DATA_HOME)."""
    if given := os.environ.get("STUDY_DATA"):
        return Path(given).expanduser().absolute()
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser().absolute() / "fpt-study"


def find_all(folder: Path, names: Iterable[str]) -> list[Path] | None:
    """The files of these names, each plain or packed (.gz, .xz); None unless all are there."""
    candidates = [[folder / (name + suffix) for suffix in _OPENERS] for name in names]
    found = [next((path for path in paths if path.is_file()), None) for paths in candidates]
    present = [path for path in found if path is not None]
    return present if len(present) == len(found) else None


def read_bytes(path: Path) -> bytes:
    """The content of a plain, .gz or .xz file.

    Raises:
        DamagedData: the packed file ends too early or cannot be unpacked.
    """
    opener = _OPENERS.get(path.suffix, _OPENERS[""])
    try:
        return opener(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DamagedData(f"{path}: truncated or damaged {path.suffix} file ({error}); fetch it again") from error


def check_sha256(path: Path, content: bytes, expected: str) -> None:
    """Compare the unpacked content of a file with the published one.

    Raises:
        DamagedData: they differ.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        message = f"{path}: unpacked content has SHA-256 {found[:12]}..., expected {expected[:12]}...; fetch it again"
        raise DamagedData(message)


def check_labels(source: object, labels: np.ndarray, num_classes: int) -> None:
    """Refuse labels outside 0 .. num_classes - 1.

    Raises:
        DamagedData: with the first such label and its record number, counted from 0.
    """
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        record = int(outside[0])
        message = f"{source}: label {labels[record]} in record {record}, expected 0 to {num_classes - 1}"
        raise DamagedData(message)


def check_count(source: object, found: int, expected: int, what: str) -> None:
    """Refuse a wrong number of records.

    Raises:
        DamagedData: with both numbers.
    """
    if found != expected:
        raise DamagedData(f"{source}: found {found} {what}, expected {expected}; fetch it again")
