"""What a number on the page is about: the task, protocol and scale by which a reader may filter."""

from __future__ import annotations

import re

import pandas as pd

from analysis.page import Tags
from models.sizes import NAMED
from study.grids.cells import counts_under
from study.spec import Protocol

FULL, SMALL = "full", "small"
SCALES = (FULL, SMALL)
FULL_SIZES = ("base", "medium", "large", "xl")
"""The sizes of the paper's bodies (section 3.8) and up."""


def scale_of(size: str | None) -> str:
    """The scale of a run by the size of its body: `full` or `small`.

    Args:
        size: of the specification; of one without a name the width decides. None, a checkpoint of the user's own,
            counts as full: such a body keeps the size that its maker gave it and is no scaled-down one of ours.
    """
    return FULL if size is None or size in FULL_SIZES or _width(size) >= NAMED["base"][1] else SMALL


def _width(size: str) -> int:
    """Of a size without a name, as "2x64"; 0 for a name."""
    match = re.fullmatch(r"[0-9]+x([0-9]+)", size)
    return int(match[1]) if match else 0


def tags_of(runs: pd.DataFrame) -> Tags:
    """What some runs are about, for a block or a row of the page.

    Runs of a task and body that do the same under both protocols are about both, whatever they were asked for under.

    Args:
        runs: the columns task, protocol, body and size.
    """
    kinds = runs[["task", "protocol", "body"]].drop_duplicates().itertuples(index=False, name=None)
    return {
        "task": sorted(runs["task"].unique()),
        "protocol": sorted({each for task, own, body in kinds for each in _protocols(task, own, body)}),
        "scale": sorted({scale_of(None if pd.isna(size) else size) for size in runs["size"].unique()}),
    }


def _protocols(task: str, own: str, body: str) -> list[str]:
    return [str(each) for each in Protocol if counts_under(each, of_run=own, task=task, body=body)]
