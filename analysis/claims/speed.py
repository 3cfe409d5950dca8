"""Claims about time: steps to convergence (paper table 6) and seconds per example with cached features (table 10)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.claims.claim import Bounds
from analysis.claims.context import OPTIMISATION, Context
from analysis.claims.effect import HAS_LEARNED, NO_PAIR, Effect, difference
from analysis.claims.pairing import Pairs, Side, paired
from analysis.speed import convergence

SOONER = Bounds(low=math.log(1.1))
# Table 6 has one significant digit: a printed 1x may be 3.5e5 / 4.5e5, a printed 4x 4.5e4 / 0.95e4.
ONE_TO_FOUR = Bounds(low=math.log(3.5 / 4.5), high=math.log(4.5 / 0.95))
# The low end of what table 10 states; it depends on the machine and on the size of the body.
FAST = Bounds(low=math.log(500))
NO_CURVE = "too few evaluations to tell convergence"
BOTH_CENSORED = "runs of both sides end before they have converged"
NO_SECONDS = "no time was measured"
_LEAST_SECONDS_SPREAD = 0.1
"""Least standard deviation credited to the logarithm of a ratio of times per step: a tenth, as machines vary."""


def speed_ups(context: Context, own: Side, other: Side, bounds: Bounds) -> list[Effect]:
    """Logarithm of steps to convergence (`analysis.speed`) of `other` over those of `own`, of every pair.

    A run that has not converged counts with the steps it was watched for: a bound, by which a claim may then be decided
    in the one direction that the bound allows.
    """
    found = paired(context, own, other)
    if not found:
        return []
    ids = np.unique(np.concatenate([side["run_id"] for pairs in found for side in (pairs.a, pairs.b)]))
    runs = context.runs[context.runs["run_id"].isin(ids)]
    curves = context.curves[context.curves["run_id"].isin(ids)]
    times = convergence(runs, curves).set_index("run_id")[["step", "is_reached", "resolution"]]
    times["step"] = times["step"].where(times["step"] != np.inf, curves.groupby("run_id")["step"].max())
    return [_ratio(pairs, times, bounds) for pairs in found]


def _ratio(pairs: Pairs, times: pd.DataFrame, bounds: Bounds) -> Effect:
    own, other = (times.reindex(side["run_id"]) for side in (pairs.a, pairs.b))
    steps = np.column_stack([own["step"], other["step"]])
    is_known = ~np.any(np.isnan(steps), axis=1)
    known, steps = pairs.where(is_known), np.maximum(steps[is_known], 1)
    effect = difference(known, HAS_LEARNED, of=lambda _: np.log(steps[:, 1] / steps[:, 0]))
    if not len(known):
        return replace(effect, cannot=NO_CURVE if len(pairs) else NO_PAIR)
    coarse = np.column_stack([own["resolution"], other["resolution"]])[is_known] / steps
    lacks = [not side["is_reached"].to_numpy()[is_known].all() for side in (own, other)]
    effect = replace(effect, least_spread=float(np.sqrt(np.mean(np.nansum(coarse**2, axis=1)) / 12)))
    return _bounded(effect, bounds, is_at_most=lacks[0], is_at_least=lacks[1])


def _bounded(effect: Effect, bounds: Bounds, *, is_at_most: bool, is_at_least: bool) -> Effect:
    """What may still be concluded where runs ended before they had converged."""
    mean = float(np.mean(effect.values))
    supports = not is_at_most and not (is_at_least and bounds.high is not None)
    contradicts = (not is_at_least or (bounds.high is not None and mean > bounds.high)) and (
        not is_at_most or (bounds.low is not None and mean < bounds.low)
    )
    return replace(
        effect,
        cannot=effect.cannot or (BOTH_CENSORED if is_at_most and is_at_least else ""),
        may_support=effect.may_support and supports,
        may_contradict=contradicts,
    )


def epochs(context: Context, cached: Side, online: Side) -> list[Effect]:
    """Logarithm of the training time per example online over that with cached features, without the one pass over the
    body that fills the cache: the paper's speed-up is that "per epoch after the first"."""
    return [_seconds(pairs) for pairs in paired(context, cached, online, free=(*OPTIMISATION, "train_set"))]


def _seconds(pairs: Pairs) -> Effect:
    with np.errstate(divide="ignore", invalid="ignore"):
        cached, online = (
            side["wall_seconds"] / (side["num_steps_done"] * side["batch_size"]) for side in (pairs.a, pairs.b)
        )
        ratio = online / cached
    is_known = np.isfinite(ratio) & (ratio > 0)
    effect = difference(pairs.where(is_known), HAS_LEARNED, of=lambda _: np.log(ratio[is_known]))
    effect = replace(effect, least_spread=_LEAST_SECONDS_SPREAD)
    return replace(effect, cannot=NO_SECONDS) if len(pairs) and not is_known.any() else effect
