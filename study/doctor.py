"""`study doctor`: what works on this machine, what is missing, how to mend it. Downloads nothing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from study.errors import one_line
from study.reply import DONE, SOME_FAILED, Reply, table
from tasks import TASKS

PYTHON = ((3, 11), (3, 14))
"""First version that is supported, and first that is not."""
_ESSENTIAL = ("numpy", "torch", "transformers", "pyarrow", "pandas", "plotly", "ray.tune", "optuna")
_LEAST_FREE_BYTES = 5e9
_CHROMES = ("chrome", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NETWORK_SECONDS = 3.0


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        state: "ok", "missing" or "damaged" (something optional), or "broken" (the study cannot work).
        found: what was found.
        mend: what to do about it, empty where nothing needs doing.
    """

    name: str
    state: str
    found: str
    mend: str = ""


def answer() -> Reply:
    """Every check; exit code 1 where something that the study needs is broken."""
    checks = [check for examine in CHECKS for check in examine()]
    is_sound = all(check.state != "broken" for check in checks)
    rows = [(check.name, check.state, check.found, check.mend) for check in checks]
    verdict = "everything that is needed works" if is_sound else "something that is needed is broken: see above"
    document = {"ok": is_sound, "checks": [asdict(check) for check in checks]}
    shown = [table("doctor", ("what", "state", "found", "to mend it"), rows), verdict]
    return Reply(document, shown, DONE if is_sound else SOME_FAILED)


def python_version() -> Iterator[Check]:
    """Whether this Python is one that is tested."""
    first, beyond = (".".join(map(str, version)) for version in PYTHON)
    is_tested = PYTHON[0] <= sys.version_info[:2] < PYTHON[1]
    mend = "" if is_tested else f"use Python {first} or later, below {beyond}"
    yield Check("Python", "ok" if is_tested else "broken", platform.python_version(), mend)


def libraries() -> Iterator[Check]:
    """Whether each library can be imported, and its version."""
    for module in _ESSENTIAL:
        package = module.partition(".")[0]
        try:
            importlib.import_module(module)
            yield Check(package, "ok", importlib.metadata.version(package))
        except (ImportError, OSError) as error:
            mend = "pip install -e . -c constraints.txt in the checkout"
            yield Check(package, "broken", one_line(error), mend)


def accelerator() -> Iterator[Check]:
    """GPUs that torch can use; the study also works without."""
    try:
        import torch
    except (ImportError, OSError):
        return  # told by `libraries`
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
        yield Check("GPU", "ok", f"{torch.cuda.device_count()} x {', '.join(sorted(names))}")
    else:
        found = f"none; {os.cpu_count()} CPU cores"
        yield Check("GPU", "missing", found, "needed for large bodies only: a CUDA build of torch and its driver")


def hub() -> Iterator[Check]:
    """Whether the Hugging Face hub can be reached."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        yield Check("hub", "missing", "HF_HUB_OFFLINE is set: cached files only", "unset HF_HUB_OFFLINE")
        return
    try:
        socket.create_connection(("huggingface.co", 443), timeout=_NETWORK_SECONDS).close()
        yield Check("hub", "ok", "huggingface.co answers")
    except OSError as error:
        mend = "bodies of base size and up need network, a filled cache (HF_HOME), or init checkpoint:<folder>"
        yield Check("hub", "missing", f"huggingface.co: {one_line(error)}", mend)


def data() -> Iterator[Check]:
    """Whether the files of every task that reads some are there and sound.

    In a process of its own, since libraries learn only when they are imported that they must not download.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "study.doctor"]
    child = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if child.returncode:
        yield Check("data", "broken", one_line(child.stderr[-300:]), "see the libraries above")
        return
    yield from (Check(**found) for found in json.loads(child.stdout.splitlines()[-1]))


def data_of(name: str) -> Check:
    """Whether the data of one task are there and sound."""
    from tasks.catalogue import make_task
    from tasks.files import DamagedData, MissingData

    task = make_task(name, protocol="fixed", args={})
    if task.is_generated:
        return Check(f"data of {name}", "ok", "generated")
    try:
        task.check()
    except MissingData as error:
        return Check(f"data of {name}", "missing", "not found", one_line(error))
    except DamagedData as error:
        return Check(f"data of {name}", "damaged", "not as published", one_line(error))
    return Check(f"data of {name}", "ok", f"{task.num_examples('train'):,} training examples")


def disk() -> Iterator[Check]:
    """Free space here and for temporary files, where Ray keeps its own."""
    import tempfile

    for name, folder in (("disk here", Path.cwd()), ("disk for temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        is_enough = free >= _LEAST_FREE_BYTES
        mend = "" if is_enough else f"free at least {_LEAST_FREE_BYTES / 1e9:.0f} GB, or set TMPDIR"
        yield Check(name, "ok" if is_enough else "missing", f"{free / 1e9:.1f} GB free in {folder}", mend)


def browser() -> Iterator[Check]:
    """Whether figures can also be written as PNG and SVG."""
    if importlib.util.find_spec("kaleido") is None:
        yield Check("PNG and SVG", "missing", "kaleido is not installed", "pip install 'fpt-study[images]'")
        return
    path = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, _CHROMES)), None)
    if path is None:
        mend = "install Chrome or Chromium, or set BROWSER_PATH; the HTML figures need neither"
        yield Check("PNG and SVG", "missing", "no Chrome found", mend)
        return
    try:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        yield Check("PNG and SVG", "ok", one_line(version) or path)
    except (OSError, subprocess.SubprocessError) as error:
        yield Check("PNG and SVG", "missing", one_line(error), f"start {path} by hand to see why it fails")


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    python_version, libraries, accelerator, hub, data, disk, browser
)  # fmt: skip

if __name__ == "__main__":
    sys.stdout.write(json.dumps([asdict(data_of(name)) for name in TASKS]))
