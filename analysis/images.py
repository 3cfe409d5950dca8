"""Static copies of figures through kaleido, in a process of its own.

kaleido drives a Chrome, which may be missing, may not start, or may hang: nothing of that may cost the report. As a
program (python -m analysis.images) it reads a JSON list of jobs from standard input.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio

START_SECONDS, SECONDS_PER_IMAGE = 90, 15
"""Longest wait for the browser and for each image, several times what a loaded two-core machine needs."""

ALWAYS, AT_ONCE, BUDGET_SECONDS = 24, 12, 20
"""Images that are drawn however long they take, and those that are drawn together after them while no more than these
seconds have passed: a report of a hundred figures would take minutes for what the page can do by itself."""

_HAS_GROUPS = os.name == "posix"


@dataclass(frozen=True)
class Job:
    """One image to write.

    Attributes:
        figure: as Plotly's JSON.
        file: where to; the ending (png, svg) is the format.
        width, height: CSS pixels.
        scale: image pixels per CSS pixel.
    """

    figure: str
    file: str
    width: int
    height: int
    scale: float


def write(jobs: Sequence[Job]) -> str | None:
    """Write the images, or none, or the first ones where all of them would take minutes.

    Returns:
        None where every image was written, else why not, on one line.
    """
    if importlib.util.find_spec("kaleido") is None:
        return "kaleido is not installed: pip install 'fpt-study[images]'"
    document = json.dumps([asdict(job) for job in jobs])
    command = [sys.executable, "-m", "analysis.images"]
    limit = START_SECONDS + SECONDS_PER_IMAGE * min(len(jobs), ALWAYS + AT_ONCE)
    # A browser that hangs is a grandchild: it can be ended only with the whole group.
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=_HAS_GROUPS,
    )
    try:
        _, errors = child.communicate(document, timeout=limit)
    except subprocess.TimeoutExpired:
        _end(child)
        reason = f"the browser gave no image within {limit} s"
    else:
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        reason = None if child.returncode == 0 else (lines or ["the process that draws ended without a word"])[-1]
    if reason is not None:
        for job in jobs:
            Path(job.file).unlink(missing_ok=True)
    elif not all(Path(job.file).exists() for job in jobs):
        reason = f"no more than fit into {BUDGET_SECONDS} s after the first {ALWAYS}"
    return reason


def _end(child: subprocess.Popen[str]) -> None:
    if _HAS_GROUPS:
        os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.communicate()


def main() -> None:
    """Draw the jobs of standard input in one browser, a later batch only while there is time."""
    jobs = [Job(**fields) for fields in json.load(sys.stdin)]
    started = time.monotonic()
    _draw(jobs[:ALWAYS])
    for first in range(ALWAYS, len(jobs), AT_ONCE):
        if time.monotonic() - started > BUDGET_SECONDS:
            return
        _draw(jobs[first : first + AT_ONCE])


def _draw(jobs: Sequence[Job]) -> None:
    pio.write_images(
        [go.Figure(json.loads(job.figure), skip_invalid=False) for job in jobs],
        [job.file for job in jobs],
        width=[job.width for job in jobs],
        height=[job.height for job in jobs],
        scale=[job.scale for job in jobs],
        validate=False,
    )


if __name__ == "__main__":
    main()
