"""Tokenizers: text as an array of whole numbers, and how many bytes each of them stands for.

Any tokenizer of the packages `tokenizers` and `transformers`: a folder with `tokenizer.json`, with `vocab.json` and
`merges.txt` (GPT-2's), or one that `transformers` knows how to read; or a hub id with an optional "@revision". Bytes
need none of this: every byte is its own token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from study.errors import UserError, one_line
from tasks.files import DamagedData, MissingData

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

BYTES = "bytes"
_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "vocab.txt", "special_tokens_map.json",
    "added_tokens.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
_CHUNK = 1 << 16
"""Characters that are encoded at once, cut at a line's end: a tokenizer's time and memory grow with the text."""


@dataclass(frozen=True)
class Tokens:
    """A tokenised text.

    Attributes:
        ids: [n] uint16 or uint32.
        ends: [n] int64: how many bytes of the text are covered by the tokens up to and including this one.
    """

    ids: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer on this machine.

    Attributes:
        name: as the user gave it.
        folder: its files.
        checksum: SHA-256 over the names and bytes of the files.
    """

    name: str
    folder: Path
    checksum: str

    def load(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            DamagedData: files that are no tokenizer.
        """
        return _load(self)


def find(name: str, root: Path) -> TokenizerFiles:
    """The files of a tokenizer.

    Args:
        name: a folder, the name of a folder in the data folder, or a hub id with optional "@revision".
        root: the data folder.

    Raises:
        UserError: a folder without the files of a tokenizer.
        MissingData: no such folder, and not to be fetched from the hub.
    """
    folder = next((path for path in (Path(name).expanduser().absolute(), root / name) if path.is_dir()), None)
    if folder is None:
        folder = _fetched(name, root)
    files = [folder / file for file in _FILES if (folder / file).is_file()]
    if not files:
        raise UserError(f"tokenizer folder {folder} holds none of: {', '.join(_FILES)}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return TokenizerFiles(name, folder, digest.hexdigest())


def encode(tokenizer: Tokenizer, text: bytes) -> Tokens:
    """All tokens of a text, without special ones.

    Every byte belongs to one token: what a tokenizer skips, such as blanks, goes to the token after it.

    Raises:
        DamagedData: the text is not UTF-8.
    """
    try:
        whole = text.decode()
    except UnicodeDecodeError as error:
        raise DamagedData(f"a tokenizer needs text in UTF-8, but {error}; use bytes, or convert the text") from None
    kind = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    chunks = list(_chunks(whole))
    ids, ends, start = [], [], 0
    for chunk, encoding in zip(chunks, _encoded(tokenizer, chunks), strict=True):
        ids.append(np.array(encoding.ids, dtype=kind))
        ends.append(start + _ends(chunk, encoding))
        start += len(chunk.encode())
    return Tokens(np.concatenate(ids), np.concatenate(ends))


def _encoded(tokenizer: Tokenizer, chunks: list[str]) -> Iterator[Encoding]:
    # Few at a time: an encoding takes a hundred times the memory of its ids.
    for first in range(0, len(chunks), 16):
        yield from tokenizer.encode_batch(chunks[first : first + 16], add_special_tokens=False)


def _ends(chunk: str, encoding: Encoding) -> np.ndarray:
    """Bytes of the chunk up to the end of each token; the last token has whatever comes after it."""
    num_bytes = np.array([0, *(len(character.encode()) for character in chunk)]) if not chunk.isascii() else None
    stops = np.array([stop for _, stop in encoding.offsets], dtype=np.int64)
    ends = np.maximum.accumulate(stops) if num_bytes is None else num_bytes.cumsum()[np.maximum.accumulate(stops)]
    if len(ends):
        ends[-1] = len(chunk.encode())
    return ends


def _chunks(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        stop = text.find("\n", start + _CHUNK) + 1 or len(text)
        yield text[start:stop]
        start = stop


@lru_cache(maxsize=2)
def _load(files: TokenizerFiles) -> Tokenizer:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    folder = files.folder
    try:
        if (folder / "tokenizer.json").is_file():
            return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        if not (folder / "tokenizer_config.json").is_file() and (folder / "merges.txt").is_file():
            # GPT-2's files alone: byte-level pairs (Radford et al. 2019, section 2.2).
            pairs = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
            tokenizer = tokenizers.Tokenizer(pairs)
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            return tokenizer
        from transformers import AutoTokenizer

        loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        return loaded.backend_tokenizer
    except Exception as error:
        # The package `tokenizers` raises nothing more specific.
        if type(error) not in (Exception, OSError, ValueError, AttributeError, KeyError):
            raise
        raise DamagedData(f"{folder} is no tokenizer that can be read ({one_line(error)})") from error


def _fetched(name: str, root: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    from tasks.hub import unreachable

    repository, _, revision = name.partition("@")
    place = f"tokenizer {name} is no folder, not in {root}"
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=list(_FILES),
                local_files_only=unreachable() is not None,
            )
        )
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise UserError(f"{place}, and no repository of the hub ({type(error).__name__}); check its name") from error
    except LocalEntryNotFoundError as error:
        fetch = f"with network run: hf download {repository} --include '*token*' 'vocab*' 'merges*'"
        raise MissingData(f"{place}, and not in the hub's cache, and the hub is out of reach; {fetch}") from error
