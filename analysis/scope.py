"""What a number on the page is about: the task, protocol and scale by which a reader may filter."""

from __future__ import annotations

import pandas as pd

from analysis.page import Tags

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


def tags_of(runs: pd.DataFrame) -> Tags:
    """What some runs are about, for a block or a row of the page.

    Args:
        runs: the columns task, protocol and size.
    """
    return {
        "task": sorted(runs["task"].unique()),
        "protocol": sorted(runs["protocol"].unique()),
        "scale": sorted({scale_of(None if pd.isna(size) else size) for size in runs["size"].unique()}),
    }
