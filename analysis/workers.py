"""The sections of a large report, made in several processes at once.

They read the same tables and know nothing of each other. Processes are forked, so that the tables, which may hold
millions of evaluations, are shared and not copied; where a system cannot fork safely, one process makes them all.
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from analysis.pictures import plain
from analysis.sections import Part, Tables
from study.errors import UserError

Make = Callable[[Tables], Part | None]
LEAST_RUNS = 2_000
"""Runs from which processes save more than they cost to start."""
_MOST_PROCESSES = 8

_shared: list[Tables] = []
"""What the forked processes find in place of an argument."""


def made(makers: Sequence[Make], data: Tables, *, num_processes: int) -> list[Part | None]:
    """What each function makes of the tables, in their order, in so many processes where that is quicker.

    Raises:
        UserError: a process was killed, or what a function raised.
    """
    num_processes = min(_MOST_PROCESSES, num_processes, len(makers))
    if num_processes < 2 or len(data.frames.runs) < LEAST_RUNS or not _can_fork():
        return [make(data) for make in makers]
    # Made once here, for all processes.
    _ = data.settings, data.ladders, data.tags, data.frames.compared
    _shared.append(data)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads; those of pyarrow and of the linear algebra are made for it.
            warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
            with ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("fork")) as pool:
                # The later sections take longest.
                found = [pool.submit(_plain, make) for make in reversed(makers)]
                return [future.result() for future in reversed(found)]
    except BrokenProcessPool:
        raise UserError(
            "a process that made a section was killed, perhaps for want of memory; free some and try again"
        ) from None
    finally:
        _shared.clear()


def _plain(make: Make) -> Part | None:
    """Runs in a forked process. Figures are sent as plain values: to check them again takes as long as to draw them."""
    part = make(_shared[0])
    if part is None:
        return None
    pictures = tuple(replace(each, variants=((0, plain(each.variants[0][1])),)) for each in part.pictures)
    return replace(part, pictures=pictures)


def _can_fork() -> bool:
    # On macOS the system's libraries forbid it, though Python offers it.
    return sys.platform != "darwin" and "fork" in multiprocessing.get_all_start_methods()
