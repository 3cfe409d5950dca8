"""What a launch says while it works: a live line on a terminal, else a plain line now and then; on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

_PLAIN_SECONDS = 30.0
_LEAST_DONE = 0.02
"""Below this share of the work an estimate of the remaining time is not worth reading."""


@dataclass(frozen=True)
class Part:
    """State of one trial: a pack, or the making of a body.

    Attributes:
        ended: runs that ended.
        failed: runs among them that failed.
        fraction: share of its work that is done.
        error: why the last of them failed; empty where none has.
    """

    ended: int
    failed: int
    fraction: float
    error: str


class Board:
    """Adds up the parts of one round.

    Args:
        what: what is counted, in the plural.
        work: operations of each part, by number: what the estimate weighs by.
        total: things to do.
        uncounted: the first so many parts are work, but none of the things.
        console: where to write; by default stderr.
    """

    def __init__(
        self, what: str, *, work: list[float], total: int, uncounted: int = 0, console: Console | None = None
    ) -> None:
        self._what, self._work, self._total, self._uncounted = what, work, total, uncounted
        self._console = console or Console(stderr=True)
        self._parts: dict[int, Part] = {}
        self._told: set[str] = set()
        self._last_text = ""
        self._started = self._last_line = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the board during the block, and its last state after it."""
        self._started = time.monotonic()
        if self._console.is_terminal:
            with Live(get_renderable=self._text, console=self._console, refresh_per_second=2):
                yield
        else:
            yield
            self._print()

    def update(self, number: int, part: Part) -> None:
        """Take in the latest state of a part."""
        self._parts[number] = part
        if part.error and part.error not in self._told:
            self._told.add(part.error)
            self._console.print(f"failed: {part.error}", soft_wrap=True, markup=False, highlight=False)
        if not self._console.is_terminal and time.monotonic() - self._last_line > _PLAIN_SECONDS:
            self._print()

    def _print(self) -> None:
        """A plain line, unless nothing has changed since the last one."""
        self._last_line = time.monotonic()
        line = self._text().plain
        if line != self._last_text:
            self._last_text = line
            self._console.print(line, soft_wrap=True, highlight=False)

    def seconds_left(self) -> float | None:
        """Estimate from the work done so far; None while too little is."""
        done = sum(self._work[number] * part.fraction for number, part in self._parts.items())
        share = done / sum(self._work)
        if share < _LEAST_DONE:
            return None
        return (time.monotonic() - self._started) * (1 - share) / share

    def _text(self) -> Text:
        counted = [part for number, part in self._parts.items() if number >= self._uncounted]
        ended, failed = sum(part.ended for part in counted), sum(part.failed for part in counted)
        running = sum(0 < part.fraction < 1 for part in self._parts.values())
        left = self.seconds_left()
        words = [f"{ended} of {self._total} {self._what}", f"{running} trials at work"]
        words += [f"{failed} failed"] if failed else []
        words += [f"{_clock(time.monotonic() - self._started)} so far"]
        words += [f"about {_clock(left)} left"] if left is not None and ended < self._total else []
        return Text(", ".join(words))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
