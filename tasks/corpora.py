"""Text to pretrain on, as bytes: the user's own files, a data set of the hub, or CPython's documentation, which every
Python brings along.

Files lie in `$STUDY_DATA/text/`: `.txt` as it is, `.jsonl` with one object per line that has a field "text", and both
packed as `.xz` or `.gz`. Files called `*_train.*` are trained on, `*_valid.*` held out; of any other file the last 5 %
are held out. Several documents are joined by an empty line, in the order of their file names.
"""

from __future__ import annotations

import hashlib
import json
import pydoc_data.topics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.files import DamagedData, MissingData, read_bytes
from tasks.source import Source

NUM_BYTE_SYMBOLS = 256
"""Vocabulary of the byte tokenizer: every byte is its own symbol."""
_HELD_OUT = 0.05
_SEPARATOR = b"\n\n"
_SUFFIXES = (".txt", ".jsonl")


@dataclass(frozen=True)
class Text:
    """The two parts of a corpus, uint8 arrays of bytes."""

    train: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Corpus(Source):
    """A named text whose checksum is known before it is read in full.

    Attributes:
        name: "cpython-docs", "text:" and the names of the files, or "hub:" and the data set.
        checksum: over the names and bytes of the sources.
        files: the sources; empty for CPython's documentation.
    """

    files: tuple[Path, ...] = ()

    def read(self) -> Text:
        """Both parts as bytes.

        Raises:
            MissingData: a file is not on this machine.
            DamagedData: a file was changed, cannot be decompressed or parsed, or a part would be empty.
        """
        self._require_unchanged()
        if not self.files:
            return _split(_documentation())
        parts: dict[str, list[bytes]] = {"train": [], "valid": []}
        for path in self.files:
            content = _content(path)
            named = next((split for split in parts if Path(_unpacked_name(path)).stem.endswith(f"_{split}")), None)
            if named is not None:
                parts[named].append(content)
            else:
                cut = _cut(content)
                parts["train"].append(content[:cut])
                parts["valid"].append(content[cut:])
        joined = {split: _SEPARATOR.join(documents) for split, documents in parts.items()}
        if not joined["valid"]:
            return _split(joined["train"])
        if not joined["train"]:
            raise DamagedData(
                f"{self.name}: nothing to train on; add a *_train file or one without a split in its name"
            )
        return Text(*(np.frombuffer(joined[split], dtype=np.uint8) for split in ("train", "valid")))

    def _require_unchanged(self) -> None:
        absent = [str(path) for path in self.files if not path.is_file()]
        if absent:
            place = f"{self.name}: {', '.join(absent)} not on this machine"
            raise MissingData(f"{place}; give every machine the same $STUDY_DATA (docs/data.md)")
        if (_checksum(self.files) if self.files else documentation().checksum) != self.checksum:
            mend = "run the command again, with the same files and the same Python on every machine"
            raise DamagedData(f"{self.name} is not what it was when this body was planned; {mend}")


def text_corpus(root: Path) -> Corpus:
    """The text files in `root`/text where there are any, else CPython's documentation; a body's card says which."""
    found = _text_files(root / "text")
    return files_corpus("text:" + "+".join(path.name for path in found), found) if found else documentation()


def own_text(root: Path) -> Corpus:
    """The text files in `root`/text.

    Raises:
        MissingData: there are none.
    """
    found = _text_files(root / "text")
    if not found:
        raise MissingData(f"no .txt or .jsonl file in {root / 'text'}; put text there (docs/data.md)")
    return text_corpus(root)


def documentation() -> Corpus:
    """CPython's documentation."""
    return Corpus("cpython-docs", hashlib.sha256(_documentation()).hexdigest())


def files_corpus(name: str, files: Sequence[Path]) -> Corpus:
    """A corpus of files that are there."""
    return Corpus(name, _checksum(files), tuple(files))


def _text_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if _is_text(path))


def _checksum(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _documentation() -> bytes:
    """The topics of Python's `help()`, about 470 kB of English prose and code; the text differs between versions."""
    topics = pydoc_data.topics.topics
    return _SEPARATOR.join(topics[name].encode() for name in sorted(topics))


def _is_text(path: Path) -> bool:
    """SOURCE.txt and README.txt describe the others; a name that starts with a dot is no data."""
    is_note = path.name.partition(".")[0].lower() in ("source", "readme", "license")
    return path.is_file() and _unpacked_name(path).endswith(_SUFFIXES) and path.name[0] != "." and not is_note


def _unpacked_name(path: Path) -> str:
    return path.name.removesuffix(".xz").removesuffix(".gz")


def _cut(content: bytes) -> int:
    return len(content) - round(len(content) * _HELD_OUT)


def _split(content: bytes) -> Text:
    data = np.frombuffer(content, dtype=np.uint8)
    return Text(train=data[: _cut(content)], valid=data[_cut(content) :])


def _content(path: Path) -> bytes:
    """The text of one file as UTF-8 bytes."""
    raw = read_bytes(path)
    if _unpacked_name(path).endswith(".jsonl"):
        raw = _SEPARATOR.join(_documents(path, raw))
    if not raw:
        raise DamagedData(f"{path} holds no text; remove it or fetch it again")
    return raw


def _documents(path: Path, raw: bytes) -> list[bytes]:
    documents = []
    for number, line in enumerate(raw.splitlines(), start=1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DamagedData(f"{path} line {number} is not JSON ({error}); fetch it again") from None
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            raise DamagedData(f'{path} line {number} is no object with a string "text"; see the other lines\' form')
        documents.append(value["text"].encode())
    return documents
