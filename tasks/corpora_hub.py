"""Text of the hub's data sets: streamed, cut to what is needed, and kept, so that a body can be continued bit by bit.

The text lies in `$STUDY_DATA/hub/`, one folder for each data set and length; what lies there is used without asking the
hub. Its checksum, and not the hub's name for it, goes into a body's key.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.corpora import Corpus, files_corpus
from tasks.files import MissingData
from tasks.hub import unreachable

_VALID_BYTES = 1_000_000
_VALID_SPLITS = ("validation", "valid", "dev", "test")


@dataclass(frozen=True)
class HubName:
    """A data set of the hub: "hub:<repository>[:<configuration>][@<revision>]"; a folder may stand for a repository."""

    repository: str
    configuration: str | None
    revision: str | None

    @classmethod
    def parse(cls, name: str) -> HubName:
        """Take the name apart."""
        place, _, revision = name.removeprefix("hub:").partition("@")
        repository, _, configuration = place.partition(":")
        return cls(repository, configuration or None, revision or None)

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine."""
        return Path(self.repository).expanduser().is_dir()

    def load(self) -> Any:
        """Its splits: streamed, but for a machine without network, where the hub's cache is used."""
        from datasets import load_dataset

        is_offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") and not self.is_folder
        return load_dataset(self.repository, self.configuration, revision=self.revision, streaming=not is_offline)


def hub_corpus(name: str, root: Path, *, num_bytes: int) -> Corpus:
    """The first `num_bytes` of a data set's training split, and its validation split, or else the last 5 % of them.

    Args:
        name: "hub:<repository>[:<configuration>][@<revision>]".
        root: the data folder.
        num_bytes: of the training text.

    Raises:
        MissingData: neither kept here nor to be fetched, or without text.
    """
    folder = kept_folder(name, root, num_bytes)
    if not folder.is_dir():
        _fetch(name, folder, num_bytes)
    return files_corpus(name, sorted(folder.glob("*.txt")))


def kept_folder(name: str, root: Path, amount: int) -> Path:
    """Where so much of a data set is kept."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    readable = re.sub(r"[^\w.-]+", "--", name.removeprefix("hub:")).strip("-")[-60:]
    return root / "hub" / f"{readable}-{digest}-{amount}"


def require_reachable(name: str, folder: Path) -> None:
    """Refuse, within a second, what cannot be fetched.

    Raises:
        MissingData: no network, or without the package `datasets`.
    """
    if not HubName.parse(name).is_folder and (reason := unreachable()):
        mend = f"run once where there is network and copy {folder}, or take another data set"
        raise MissingData(f"{name} is not in {folder} and out of reach ({reason}); {mend}")
    if importlib.util.find_spec("datasets") is None:
        raise MissingData(f"{name} needs the package `datasets`; pip install 'fpt-study[hub]'")


@contextmanager
def drafted(name: str, folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` in the end; where another process was first, its folder stays.

    Raises:
        MissingData: the data set could not be read.
    """
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        yield draft
        _publish(draft, folder)
    except (OSError, ValueError, DatasetsError, HTTPError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        fetch = f"`hf download --repo-type dataset {HubName.parse(name).repository}` where there is network"
        raise MissingData(f"{name} could not be read ({reason}); {fetch}, then HF_HUB_OFFLINE=1") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _fetch(name: str, folder: Path, num_bytes: int) -> None:
    require_reachable(name, folder.parent)
    with drafted(name, folder) as draft:
        splits = HubName.parse(name).load()
        if "train" not in splits:
            raise ValueError(f"no split 'train', only {', '.join(map(str, splits))}")
        valid = next((split for split in _VALID_SPLITS if split in splits), None)
        # Of a file without a split in its name the end is held out.
        _write(draft / ("text.txt" if valid is None else "text_train.txt"), _texts(splits["train"]), num_bytes)
        if valid is not None:
            _write(draft / "text_valid.txt", _texts(splits[valid]), _VALID_BYTES)


def _texts(rows: Any) -> Iterator[bytes]:
    """The documents of a split: its column "text", or its only column of strings."""
    column = None
    for row in rows:
        if column is None:
            strings = [key for key, value in row.items() if isinstance(value, str)]
            if "text" not in strings and len(strings) != 1:
                raise ValueError(f"no column 'text' and not one column of strings, but {', '.join(row)}")
            column = "text" if "text" in strings else strings[0]
        yield (row[column] or "").encode()


def _write(path: Path, documents: Iterator[bytes], num_bytes: int) -> None:
    """The first `num_bytes` of the documents, whole characters; where a document does not end a line, an empty line."""
    content = bytearray()
    for document in documents:
        content += document if document.endswith(b"\n") or not document else document + b"\n\n"
        if len(content) >= num_bytes:
            break
    path.write_bytes(content[:num_bytes].decode(errors="ignore").encode())
