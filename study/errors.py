"""A user's mistake, told in one line that names the near misses; and what a user should know but need not mend."""

import difflib
import re
from collections.abc import Iterable


class UserError(ValueError):
    """What was given, what is allowed, what to do: one line; the command line turns it into exit code 2."""


class StorageError(OSError):
    """The place of a ledger cannot be read or written: which place and why, on one line; what was written stays."""


class StorageFull(StorageError):
    """There is no room left, or a quota is used up: the file that was being written is absent, all others are whole."""


class LedgerWarning(UserWarning):
    """A file in the ledger that cannot be used; it is left out, and `Ledger.compact` sets it aside where it may."""


def unknown_name(what: str, given: str, allowed: Iterable[str]) -> UserError:
    """The error for a name that is in no table: near misses first, then every choice.

    Args:
        what: what the name should have named, such as "task".
        given: the name as the user wrote it.
        allowed: every name that would have been accepted.
    """
    choices = list(allowed)
    near = difflib.get_close_matches(given, choices, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    known = f"choose from {', '.join(choices)}" if choices else "there is none"
    return UserError(f"unknown {what} '{one_line(given)}'{hint} ({known})")


def one_line(text: object) -> str:
    """Text without line breaks or runs of blanks, for messages that must stay on one line."""
    return " ".join(str(text).split())


def place(uri: str) -> str:
    """A path or URI for messages and records: on one line, without the password that it may hold."""
    return one_line(re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", uri))
