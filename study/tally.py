"""How far a trial is: what it counts while it works, for whoever asks between two steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """How far a pack is; updated in place as its measurements come.

    Attributes:
        total: its runs, those included that had ended before.
        ended, failed, diverged: runs that ended, and how many of them badly.
        fraction: share of the steps that are done.
        best_valid_accuracy: of the runs that ended in this execution, 0 while there is none.
        error: why the last run failed that did; empty while none has.
        note: how it stands, in words; empty where that says no more than the numbers.
        restored: share of the steps that an earlier worker had done.
    """

    total: int
    ended: int = 0
    failed: int = 0
    diverged: int = 0
    fraction: float = 0.0
    best_valid_accuracy: float = 0.0
    error: str = ""
    note: str = ""
    restored: float = 0.0
