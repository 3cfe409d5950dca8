"""What a number on the page is about: the task, protocol and scale by which a reader may filter."""

from __future__ import annotations

FULL, SMALL = "full", "small"
SCALES = (FULL, SMALL)
FULL_SIZES = ("base", "medium", "large", "xl")
"""The sizes of the paper's bodies (section 3.8) and up."""


def scale_of(size: str | None) -> str:
    """The scale of a run by the size of its body: `full` or `small`.

    Args:
        size: of the specification. None, a checkpoint of the user's own, counts as full: such a body keeps the size
            that its maker gave it and is no scaled-down one of ours.
    """
    return FULL if size is None or size in FULL_SIZES else SMALL
