"""Where a number comes from: the commit of the code, the versions of the libraries and the processor that made it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from study.errors import place
from study.spec import RunSpec

if TYPE_CHECKING:
    import torch

_RECORDED = ("torch", "transformers", "ray")
_CHECKOUT = Path(__file__).resolve().parent.parent


@cache
def git_revision() -> str | None:
    """The commit of this checkout, with "+changes" where tracked files differ from it; None outside a checkout."""
    if not (_CHECKOUT / ".git").exists():
        return None
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+changes" if changes else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_CHECKOUT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@cache
def versions() -> dict[str, str]:
    """Python's and of the libraries that can change a number; those that are absent are left out."""
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def manifest(
    specs: Sequence[RunSpec], *, grid_name: str, command: str, tuned: Collection[str] = ()
) -> tuple[str, bytes]:
    """What was asked for, as a file of the ledger: its path, one for each different set of runs, and its JSON.

    Args:
        specs: the runs.
        grid_name, command: as the user gave them.
        tuned: ids of the runs whose settings a search found.
    """
    ids = "\n".join(sorted(spec.run_id for spec in specs))
    document = {
        "grid": grid_name,
        "command": place(command),
        "git_revision": git_revision(),
        "versions": versions(),
        "launched_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tuned": sorted(tuned),
        "runs": [json.loads(spec.to_json()) | {"run_id": spec.run_id} for spec in specs],
    }
    name = hashlib.sha256(ids.encode()).hexdigest()[:16]
    return f"manifest/{name}.json", json.dumps(document, indent=1).encode()


def device_name(device: torch.device) -> str:
    """The accelerator's name, or the processor's with the threads in use."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capabilities = torch.cpu.get_capabilities()
    name = capabilities.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} thread(s)"
