"""What pretraining is worth along a ladder: ratios of exponents, and how many times more random bodies need."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.estimates import Estimate
from analysis.matching import exponent_ratio, match
from analysis.scaling import Law
from study.errors import UserError

REFERENCE, OTHERS = "language", ("random", "statistics")
_EXPONENT = "alpha"
COLUMNS = (
    "axis", "task", "protocol", "train_set", "setting", "reference", "other", "ratio", "ratio_low", "ratio_high",
    "at", "error", "factor", "factor_low", "factor_high", "sentence",
)  # fmt: skip


def table(found: Sequence[Law]) -> pd.DataFrame:
    """One row per ladder of the language body that has a law, and other init that has one on the same ladder.

    Columns: axis, task, protocol, train_set, setting, reference, other; ratio, ratio_low, ratio_high (exponent of the
    reference over the other's); at (x at the middle rung of the reference), error (what the reference reaches there),
    factor, factor_low, factor_high (x that the other needs for it, over `at`; null where that lies outside the
    ladder), sentence.
    """
    laws: dict[tuple[str, ...], dict[str, Estimate]] = {}
    for law in found:
        if isinstance(law.found, Estimate):
            one = law.series
            key = (one.axis.name, one.task, one.protocol, one.train_set, one.setting)
            laws.setdefault(key, {})[one.init] = law.found
    rows = [
        [*key, REFERENCE, other, *_compared(own[REFERENCE], own[other])]
        for key, own in laws.items()
        for other in OTHERS
        if REFERENCE in own and other in own
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _compared(reference: Estimate, other: Estimate) -> list[object]:
    ratio = exponent_ratio(reference, other, name=_EXPONENT)
    ladder = reference.fit.ladder
    at = float(ladder.x[ladder.num_rungs // 2, 0])
    shared = [ratio.estimate, ratio.low, ratio.high, at]
    try:
        found = match(other, reference, at=at)
    except UserError as error:
        return [*shared, None, None, None, None, str(error)]
    return [*shared, found.y, found.factor, found.low, found.high, found.sentence]
