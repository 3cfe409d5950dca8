"""Where checkpoints lie: a folder, or the Hugging Face hub through its local cache.

A checkpoint is named by a folder, or by a hub id with an optional revision: "openai-community/gpt2@main". What is on
this machine is used without asking the hub: a branch means the commit it pointed to when it was fetched.
"""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from pathlib import Path

from models import CHECKPOINT_PREFIX

CONFIG_FILE = "config.json"
# In order of preference; the two indexes name the shards of a checkpoint in several files.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

# The published bodies, at fixed commits.
PINNED = {
    ("gpt2", "language", "base"): "openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e",
    ("gpt2", "language", "medium"): "openai-community/gpt2-medium@6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
    ("gpt2", "language", "large"): "openai-community/gpt2-large@32b71b12589c2f8d625668d2335a01cac3249519",
    ("gpt2", "language", "xl"): "openai-community/gpt2-xl@15ea56dee5df4983c59b2538573817e1667135e2",
    ("bert", "language", "base"): "google-bert/bert-base-uncased@86b5e0934494bd15c9632b12f734a8a67f723594",
    ("t5", "language", "small"): "google-t5/t5-small@df1b051c49625cf57a3d0d8d3863ed4d13564fe4",
    ("t5", "language", "base"): "google-t5/t5-base@a9723ea7f1b39c1eae772870f3b547bf6ef7e6c1",
    ("longformer", "language", "base"): "allenai/longformer-base-4096@301e6a42cb0d9976a6d6a26a079fef81c18aa895",
    ("vit", "vision", "base"): "google/vit-base-patch16-224-in21k@b4569560a39a0f1af58e3ddaf17facf20ab919b0",
}

_PROBE_SECONDS = 5.0
"""Longest wait for any answer of the hub. Its own client asks six times, 25 seconds in all, before it gives up."""
_SILENT_SECONDS = 600.0
"""How long a hub that did not answer is not asked again by this process: the next run needs its error at once."""
_silent_since: dict[str, float] = {}

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


class OfflineError(Exception):
    """A hub checkpoint is not on this machine and cannot be fetched; one line that says how to mend it."""


@dataclass(frozen=True)
class Located:
    """Files of a checkpoint on this machine.

    Attributes:
        folder: that holds them.
        revision: the commit they belong to, None for a folder of the user's.
    """

    folder: Path
    revision: str | None


def pinned(body: str, init: str, size: str | None) -> str | None:
    """Name of the published checkpoint of a body, None where there is none."""
    return PINNED.get((body, init, size or ""))


def locate(name: str, *, with_weights: bool) -> Located:
    """The files of a checkpoint, fetched into the hub's cache where needed.

    Args:
        name: a folder or hub id with optional "@revision"; a leading "checkpoint:" is dropped.
        with_weights: the weights too, not only the config.

    Raises:
        ValueError: no such folder or repository, a name that is neither, or files that are not in it.
        OfflineError: not on this machine, and the hub cannot be reached.
    """
    name = name.removeprefix(CHECKPOINT_PREFIX)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        for files in ((CONFIG_FILE,), WEIGHT_FILES if with_weights else (CONFIG_FILE,)):
            if not any((folder / file).is_file() for file in files):
                raise ValueError(f"checkpoint folder {folder} holds none of: {', '.join(files)}")
        return Located(folder, None)
    repository, _, revision = name.partition("@")
    if not _HUB_ID.fullmatch(repository):
        raise ValueError(f"checkpoint {name!r} is neither a folder nor a hub id (owner/name[@revision])")
    snapshot = _fetch(repository, revision or "main", CONFIG_FILE)
    assert snapshot is not None
    if with_weights and not any((snapshot / file).is_file() for file in WEIGHT_FILES[::2]):
        # Later files belong to the commit that the config came from, whatever the branch does meanwhile.
        _fetch_weights(repository, snapshot)
    return Located(snapshot, snapshot.name)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's tensors: one, or the shards that its index names.

    Raises:
        ValueError: an index that cannot be read, or that names files which are not there.
    """
    first = next(folder / file for file in WEIGHT_FILES if (folder / file).is_file())
    if first.suffix != ".json":
        return [first]
    files = [folder / shard for shard in _shards(first)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ValueError(f"{first} names {len(missing)} files that are not there: {', '.join(missing[:3])}")
    return files


def _shards(index: Path) -> list[str]:
    try:
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index} is not an index of shards ({type(error).__name__})") from error
    if any(Path(shard).name != shard for shard in shards):
        raise ValueError(f"{index} names files outside its folder")
    return shards


def _fetch_weights(repository: str, snapshot: Path) -> None:
    for file in WEIGHT_FILES:
        if _fetch(repository, snapshot.name, file) is None:
            continue
        if file.endswith(".json"):
            for shard in _shards(snapshot / file):
                _fetch(repository, snapshot.name, shard)
        return
    raise ValueError(f"hub checkpoint {repository} holds none of: {', '.join(WEIGHT_FILES)}")


def _fetch(repository: str, revision: str, file: str) -> Path | None:
    """Folder of the snapshot that now holds `file`; None where the repository has no such file."""
    from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent
        if not _answers():
            raise _offline(repository, revision)
        return Path(hf_hub_download(repository, file, revision=revision)).parent
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        reason = type(error).__name__.removesuffix("Error")
        raise ValueError(f"hub checkpoint {repository}@{revision}: {reason}; check its name, or log in") from error
    except errors.LocalEntryNotFoundError as error:
        raise _offline(repository, revision) from error
    except errors.EntryNotFoundError as error:
        if file == CONFIG_FILE:
            raise ValueError(f"hub checkpoint {repository}@{revision} has no {CONFIG_FILE}") from error
        return None
    except errors.HTTPError as error:  # pyright: ignore[reportPrivateImportUsage] - of httpx or httpx2, by version
        # The hub's own trouble, or a connection that broke off half-way.
        raise _offline(repository, revision) from error


def _answers() -> bool:
    """Whether the hub answers anything at all, asked once."""
    from huggingface_hub import constants, errors, get_session

    endpoint = constants.ENDPOINT
    if time.monotonic() - _silent_since.get(endpoint, -math.inf) < _SILENT_SECONDS:
        return False
    try:
        get_session().head(endpoint, timeout=_PROBE_SECONDS)
    except (errors.HTTPError, OSError):  # pyright: ignore[reportPrivateImportUsage]
        # An OSError where HF_HUB_OFFLINE forbids to ask.
        _silent_since[endpoint] = time.monotonic()
        return False
    return True


def _offline(repository: str, revision: str) -> OfflineError:
    from huggingface_hub import constants

    return OfflineError(
        f"{repository}@{revision} is not in {constants.HF_HUB_CACHE} and the hub cannot be reached; "
        f"with network run: hf download {repository} --revision {revision}"
    )
