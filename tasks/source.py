"""What a body is pretrained on, by name and content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Data whose checksum is known before they are read in full.

    Attributes:
        name: for people: a data set and where it came from.
        checksum: SHA-256 over everything that decides the examples, 64 hex digits; part of a body's key.
    """

    name: str
    checksum: str
