"""The claim about over- and underfitting (paper table 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.claims.claim import Bounds
from analysis.claims.context import Context
from analysis.claims.effect import HAS_LEARNED, Effect, difference, side_interval
from analysis.claims.pairing import Pairs, Side, paired

GAP = 0.05
"""Train minus test accuracy (fraction) from which a run overfits."""
NO_GAP = Bounds(high=GAP)
FITS = "full training does not overfit here"
NO_TRAIN = "no train accuracy of one side"


def gaps(context: Context, own: Side, full: Side, free: tuple[str, ...]) -> list[Effect]:
    """Train minus test accuracy of `own`, on tasks where that of `full` is above `GAP` by its 95 % interval.

    Both are measured at the step selected on the validation split, where early stopping has already cut part of what a
    table of last steps would show. Runs without a train accuracy (diverged before any reading) leave their pair out.
    """
    return [_gap(pairs) for pairs in paired(context, own, full, free=free)]


def _gap(pairs: Pairs) -> Effect:
    known = pairs.where(~np.isnan(pairs.a["gap"]) & ~np.isnan(pairs.b["gap"]))
    effect = difference(known, HAS_LEARNED, of=lambda pairs: pairs.a["gap"])
    if len(pairs) and not len(known):
        return replace(effect, cannot=NO_TRAIN)
    return effect if effect.cannot or _overfits(known) else replace(effect, cannot=FITS)


def _overfits(pairs: Pairs) -> bool:
    interval = side_interval(pairs.b, "gap")
    return interval.low is not None and interval.low > GAP
