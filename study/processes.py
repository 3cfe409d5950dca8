"""Processes of this machine: what each may use, which is at work, and whether it still is."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """What tells machines, their boots and their containers apart; processes see each other within one."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def process_started(pid: int) -> int | None:
    """When a process started, in the machine's own ticks; None where the system does not say, or it has ended already.

    Field 22 of /proc/PID/stat (man 5 proc).
    """
    try:
        # The name of the program, in parentheses, may hold blanks.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def available_cpus() -> int:
    """Processors that this process may use: its affinity, and a container's quota where it has one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, period = quota.read_text().split()
        if limit != "max":
            allowed = min(allowed, max(1, int(limit) // int(period)))
    return allowed
