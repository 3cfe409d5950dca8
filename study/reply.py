"""What a command answers: something to read, one JSON document with the same content, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

DONE, SOME_FAILED, USER_ERROR = 0, 1, 2
"""Exit codes: done; some runs failed, which is recorded; the user's mistake."""


@dataclass(frozen=True)
class Reply:
    """The answer of one command.

    Attributes:
        document: for `--json`, of plain JSON values.
        shown: lines and tables, in order, for people.
        exit_code: see above.
    """

    document: dict[str, Any]
    shown: Sequence[str | Table]
    exit_code: int = DONE


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table without frames, readable in a terminal and in a file; numbers stand right, None is shown as "-"."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        is_number = all(isinstance(row[index], int | float | None) for row in rows)
        made.add_column(name, justify="right" if rows and is_number else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text("-" if cell is None else _cell(cell)) for cell in row))
    return made


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def quantity(value: float) -> str:
    """A large number with its power of a thousand: 1.23M, 4.5T."""
    for factor, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.4 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
