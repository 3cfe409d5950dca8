"""Data sets from the Hugging Face hub, through the optional package `datasets` (pip install 'fpt-study[hub]')."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.files import MissingData

if TYPE_CHECKING:
    from datasets import Dataset


def load_split(repository: str, configuration: str, split: str, *, sought: str, folder: Path) -> Dataset:
    """One split of a data set of the hub, or of the hub's cache on this machine.

    Args:
        repository: id on the hub.
        configuration: name of the data set inside the repository.
        split: name of the split.
        sought: what was looked for before the hub was, for the message.
        folder: where it was looked for, for the message.

    Raises:
        MissingData: `datasets` is not installed, or the data are neither reachable nor cached.
    """
    place = f"no {sought} in {folder}, and the hub's {repository}"
    fetch = f"`hf download --repo-type dataset {repository}` on a machine with network fetches it (docs/data.md)"
    if reason := unreachable():
        raise MissingData(f"{place} is out of reach ({reason}); {fetch}; HF_HUB_OFFLINE=1 then uses the hub's cache")
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise MissingData(f"{place} needs the package `datasets`; pip install 'fpt-study[hub]'") from error
    try:
        return load_dataset(repository, configuration, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        reason = str(error).splitlines()[0]
        raise MissingData(f"{place} could not be read ({reason}); {fetch}") from error


def unreachable() -> str | None:
    """Why the hub cannot be asked, found in milliseconds; `datasets` itself would go on trying for half a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") or os.environ.get("HTTPS_PROXY"):
        return None
    host = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return f"no network: {host} has no address"
    return None
