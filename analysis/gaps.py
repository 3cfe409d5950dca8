"""Do runs overfit? Training minus test accuracy, both at the selected step and without dropout (paper table 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.speed import VARIANT
from analysis.stats import crossed_interval

_NUMBERS = ("train_accuracy", "test_accuracy", "gap", "low", "high", "num_runs", "num_seeds")


def gaps(runs: pd.DataFrame, by: Sequence[str] = VARIANT) -> pd.DataFrame:
    """One row per variant with done runs.

    The training split is measured whole and without augmentation; where a task makes examples without end it is a fixed
    sample of the size of the validation split, and the gap can only be sampling noise.

    Args:
        runs: rows of the ledger.
        by: columns that runs of one variant share.

    Returns:
        Those columns, train_accuracy, test_accuracy (means over runs, fractions), gap (their difference, paired by
        run) with low and high (95 % t interval, the wider of seeds and body seeds; null for one seed), num_runs,
        num_seeds.
    """
    done = runs[(runs["status"] == "done") & runs[["train_accuracy", "test_accuracy"]].notna().all(axis=1)]
    rows = []
    for key, group in done.groupby(list(by), dropna=False, sort=False):
        gap = crossed_interval(
            group["train_accuracy"] - group["test_accuracy"],
            seeds=group["seed"].tolist(),
            body_seeds=group["body_seed"].tolist(),
            of="training minus test accuracy",
        )
        means = group[["train_accuracy", "test_accuracy"]].mean()
        low, high = (np.nan if end is None else end for end in (gap.low, gap.high))
        told = (*means, gap.estimate, low, high, len(group), group["seed"].nunique())
        rows.append(dict(zip((*by, *_NUMBERS), (*key, *told), strict=True)))
    return pd.DataFrame(rows, columns=[*by, *_NUMBERS])
