"""What a launch says while it works: a live line on a terminal, else a plain line now and then; on stderr."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from study.reply import quantity

_PLAIN_SECONDS = 30.0
_MAX_NOTES = 3
_SILENCE_SECONDS = 300.0
_WINDOW_SECONDS = 300.0
"""The pace is that of the last five minutes: what was there before the launch does not count for long."""
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
        diverged: runs among them that diverged.
        gpu_memory_bytes: most that was allocated on its GPU at once; 0 without a GPU.
        note: how it stands, in words; empty where that says no more than the numbers.
        restored: share of its work that an earlier worker had done, of which this one continued the state.
    """

    ended: int
    failed: int
    fraction: float
    error: str
    diverged: int = 0
    gpu_memory_bytes: int = 0
    note: str = ""
    restored: float = 0.0


@dataclass(frozen=True)
class _Moment:
    """How far things were at a time: runs that ended, operations that were done."""

    seconds: float
    ended: int
    flops: float


class Board:
    """Adds up the parts of one round.

    Args:
        what: what is counted, in the plural.
        work: operations of each part, by number: what the estimate weighs by.
        total: things to do.
        uncounted: the first so many parts are work, but none of the things.
        members: ids of the runs of each part, by number; empty for none.
        later: operations of what comes after this round.
        is_shared: the parts take from one store of things, so that only those that ended say how far the work is.
        console: where to write; by default stderr.
    """

    def __init__(
        self,
        what: str,
        *,
        work: list[float],
        total: int,
        uncounted: int = 0,
        members: Sequence[Sequence[str]] = (),
        later: float = 0.0,
        is_shared: bool = False,
        console: Console | None = None,
    ) -> None:
        self._what, self._work, self._total, self._uncounted = what, work, total, uncounted
        self._members, self._later, self._is_shared = members, later, is_shared
        self._console = console or Console(stderr=True)
        self._parts: dict[int, Part] = {}
        self._before: dict[int, float] = {}
        self._lost: set[int] = set()
        self._told: set[str] = set()
        self._last_text = ""
        self._started = self._last_line = self._last_report = time.monotonic()
        self._moments: deque[_Moment] = deque()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the board during the block, and its last state after it."""
        self._started = self._last_report = time.monotonic()
        self._moments.append(_Moment(self._started, 0, 0.0))
        if self._console.is_terminal:
            with Live(get_renderable=self._text, console=self._console, refresh_per_second=2):
                yield
        else:
            yield
            self._print()

    def update(self, number: int, part: Part) -> None:
        """Take in the latest state of a part."""
        self._parts[number] = part
        # What a worker of this launch did is done in it, though its successor finds it done.
        self._before.setdefault(number, part.restored)
        self._last_report = time.monotonic()
        self._remember()
        if part.error and part.error not in self._told:
            self._told.add(part.error)
            self.say(f"failed: {part.error}")
        if not self._console.is_terminal and time.monotonic() - self._last_line > _PLAIN_SECONDS:
            self._print()

    def lose(self, number: int) -> None:
        """A part whose worker died for good is no longer at work; what it had ended stays."""
        self._lost.add(number)

    def look(self) -> None:
        """To be called now and then: say so where nothing has been heard for a long time."""
        if time.monotonic() - self._last_report > _SILENCE_SECONDS:
            self._last_report = time.monotonic()
            self.say(
                f"no trial has reported for {_SILENCE_SECONDS / 60:.0f} minutes: there may be no machine with room "
                "for one; `ray status` tells what there is and what is asked for"
            )

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def _remember(self) -> None:
        now = time.monotonic()
        if not self._moments or now - self._moments[-1].seconds >= 1:
            counted = [(number, part) for number, part in self._parts.items() if number >= self._uncounted]
            flops = self._done(counted)
            self._moments.append(_Moment(now, sum(part.ended for _, part in counted), flops))
        while len(self._moments) > 2 and now - self._moments[1].seconds > _WINDOW_SECONDS:
            self._moments.popleft()

    def _done(self, parts: Sequence[tuple[int, Part]]) -> float:
        """Operations of these parts that were done in this round."""
        return sum(self._work[number] * max(0.0, part.fraction - self._before[number]) for number, part in parts)

    def _print(self) -> None:
        """A plain line, unless nothing has changed since the last one."""
        self._last_line = time.monotonic()
        line = self._text().plain
        if line != self._last_text:
            self._last_text = line
            self._console.print(line, soft_wrap=True, highlight=False)

    def seconds_left(self) -> float | None:
        """Estimate from the work done so far; None while too little is."""
        parts = list(self._parts.items())
        if self._is_shared:
            done = float(sum(part.ended for _, part in parts))
            left = self._total - done
        else:
            done = self._done(parts)
            left = sum(self._work) - sum(self._work[number] * part.fraction for number, part in parts) + self._later
        if done == 0 or done < _LEAST_DONE * (done + left):
            return None
        return (time.monotonic() - self._started) * left / done

    def snapshot(self) -> dict[str, Any]:
        """How the work stands, of plain JSON values; docs/watching.md says what they mean."""
        parts = list(self._parts.items())
        counted = [part for number, part in parts if number >= self._uncounted]
        at_work = [(number, part) for number, part in parts if 0 < part.fraction < 1 and number not in self._lost]
        first, last = (self._moments[0], self._moments[-1]) if self._moments else (None, None)
        seconds = last.seconds - first.seconds if first and last else 0.0
        # A worker that begins again from an earlier state takes back what it had told.
        pace = max(0.0, last.ended - first.ended) / seconds if first and last and seconds else None
        speed = max(0.0, last.flops - first.flops) / seconds if first and last and seconds else None
        return {
            "counted": self._what,
            "total": self._total,
            "ended": sum(part.ended for part in counted),
            "failed": sum(part.failed for part in counted),
            "diverged": sum(part.diverged for part in counted),
            "trials_at_work": len(at_work),
            "seconds_so_far": time.monotonic() - self._started,
            "eta_seconds": self.seconds_left(),
            "ended_per_minute": 60 * pace if pace is not None else None,
            "flops_per_second": speed if self._what == "runs" else None,
            "gpu_memory_bytes": max((part.gpu_memory_bytes for _, part in at_work), default=0) or None,
            "run_ids": [run_id for number, _ in at_work if self._members for run_id in self._members[number]],
        }

    def _text(self) -> Text:
        state = self.snapshot()
        left, pace, speed = state["eta_seconds"], state["ended_per_minute"], state["flops_per_second"]
        words = [f"{state['ended']} of {self._total} {self._what}", f"{state['trials_at_work']} trials at work"]
        words += [f"{state[name]} {name}" for name in ("failed", "diverged") if state[name]]
        words += [f"{_clock(state['seconds_so_far'])} so far"]
        words += [f"about {_clock(left)} left"] if left is not None and state["ended"] < self._total else []
        words += [f"{pace:.3g} {self._what}/min"] if pace else []
        words += [f"{quantity(speed)}FLOP/s"] if speed else []
        words += [f"{state['gpu_memory_bytes'] / 2**30:.1f} GiB of GPU memory"] if state["gpu_memory_bytes"] else []
        notes = [part.note for part in list(self._parts.values()) if part.note and part.fraction < 1]
        return Text("; ".join([", ".join(words), *notes[:_MAX_NOTES]]))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
