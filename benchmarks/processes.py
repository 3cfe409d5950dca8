"""Processes of this machine, as Linux tells of them."""

from __future__ import annotations

import os
from pathlib import Path


def descendants(pid: int) -> dict[int, float]:
    """Processor seconds of a process and of all that come from it, by process id (man 5 proc)."""
    parents, seconds = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return {member: seconds[member] for member in family if member in seconds}
