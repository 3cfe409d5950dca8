"""From lines to verdicts: on how many tasks, corrected for how many claims, and how many seeds would decide.

"At least u of n lines lie between the bounds" has the p-value min over k >= u of (n - u + 1) / (k - u + 1) * p(k),
with p(k) the k-th smallest of the lines' (Benjamini and Heller 2008, by Simes's test: valid for lines that are
independent or depend positively on each other, as tasks do that share seeds or bodies). Its opposite, "at least
v = r - u + 1 of the r lines that can be told do not", has the same with v and the other p-values. Lines that cannot be
told stay among the n, with p = 1, but not among the r.

Of the two hypotheses of a claim, that it is wrong and that it is right, exactly one is true. So of the 2 m hypotheses
of m claims exactly m are true, whatever was rejected before, and every step of Holm's procedure may use alpha / m
(Shaffer 1986): the chance of any wrong `supported` or `contradicted` among the claims of a family in a context is at
most 5 %, however they depend on each other. `benchmarks/claims.md` has what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from analysis.claims.claim import Bounds, Claim, Verdict
from analysis.claims.context import Context
from analysis.claims.effect import Tested

ALPHA = 0.05
"""Largest chance of any wrong verdict within a family of claims and a context."""
POWER = 0.8
MOST_SEEDS = 1000
"""Beyond these the number of seeds that would decide is not a number but "more"."""
_COUNTS = np.arange(2, MOST_SEEDS + 1)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A claim's verdict in one context.

    Attributes:
        claim, context: of it.
        verdict: after correction for the other claims of its family.
        lines: the effects, held against the claim's bounds.
        required: lines that must lie between the bounds, of those that can be told.
        p_support, p_contradict: of the whole claim, by itself; None where nothing was run.
        p_adjusted: the smaller one, corrected for the other claims.
        num_claims: of its family that were run in this context, itself included.
        num_seeds_needed: seeds that would decide with a chance of 80 %, if effects and spreads are as observed;
            None where it is decided, or nothing can be said; `MOST_SEEDS` + 1 for more than that.
        why: in words, what stands in the way of a decision, or what the decision rests on.
    """

    claim: Claim
    context: Context
    verdict: Verdict
    lines: tuple[Tested, ...]
    required: int
    p_support: float | None
    p_contradict: float | None
    p_adjusted: float | None
    num_claims: int
    num_seeds_needed: int | None
    why: str

    @property
    def told(self) -> list[Tested]:
        """Lines on which the sides can be told apart."""
        return [line for line in self.lines if line.is_told]


@dataclass(frozen=True)
class Combined:
    """p-values of a whole claim by itself."""

    required: int
    support: float
    contradict: float


def combine(claim: Claim, lines: Sequence[Tested]) -> Combined:
    """The p-values of "on `claim.combine` the effect lies between the bounds" and of its opposite."""
    told = [line for line in lines if line.is_told]
    required = claim.combine.required(len(told))
    if not told:
        return Combined(required, 1.0, 1.0)
    support = _partial([line.p_support for line in told], required, len(lines))
    contradict = _partial([line.p_contradict for line in told], len(told) - required + 1, len(lines))
    return Combined(required, support, contradict)


def _partial(p_values: list[float], required: int, num_lines: int) -> float:
    ordered = np.sort(p_values)[required - 1 :]
    return float(min(1.0, np.min((num_lines - required + 1) * ordered / np.arange(1, len(ordered) + 1))))


def judge(measured: Sequence[tuple[Claim, Context, list[Tested]]]) -> list[Result]:
    """Verdicts of the claims of one family in one context.

    Args:
        measured: each claim once, with its lines; without a line, or a line with a pair, it was not run.
    """
    run = [i for i, (_, _, lines) in enumerate(measured) if any(line.estimate is not None for line in lines)]
    combined = {i: combine(measured[i][0], measured[i][2]) for i in run}
    results = []
    for i, (claim, context, lines) in enumerate(measured):
        if i in combined:
            results.append(_result(claim, context, lines, combined[i], len(run)))
        else:
            results.append(_not_run(claim, context, lines))
    return results


def _not_run(claim: Claim, context: Context, lines: list[Tested]) -> Result:
    return Result(
        claim=claim,
        context=context,
        verdict=Verdict.NOT_RUN,
        lines=tuple(lines),
        required=0,
        p_support=None,
        p_contradict=None,
        p_adjusted=None,
        num_claims=0,
        num_seeds_needed=None,
        why=f"needs {claim.rows}; {_present(claim, context)}",
    )


def _present(claim: Claim, context: Context) -> str:
    """How many runs each side has here, and how many were asked for in vain."""
    texts = []
    for side in claim.sides:
        have, lack = side.count(context.runs), side.count(context.missing)
        texts.append(
            f"{side.name}: {have or 'no'} {'run' if have == 1 else 'runs'}" + (f", {lack} missing" if lack else "")
        )
    return "here " + "; ".join(texts)


def _result(
    claim: Claim,
    context: Context,
    lines: list[Tested],
    combined: Combined,
    num_claims: int,
) -> Result:
    verdict = Verdict.UNDECIDED
    if combined.support <= ALPHA / num_claims:
        verdict = Verdict.SUPPORTED
    elif combined.contradict <= ALPHA / num_claims:
        verdict = Verdict.CONTRADICTED
    is_open = verdict is Verdict.UNDECIDED
    needed = seeds_needed(claim, lines, combined.required, num_claims) if is_open else None
    return Result(
        claim=claim,
        context=context,
        verdict=verdict,
        lines=tuple(lines),
        required=combined.required,
        p_support=combined.support,
        p_contradict=combined.contradict,
        p_adjusted=min(1.0, num_claims * min(combined.support, combined.contradict)),
        num_claims=num_claims,
        num_seeds_needed=needed,
        why=_why(lines, combined, num_claims, verdict),
    )


def _why(lines: list[Tested], combined: Combined, num_claims: int, verdict: Verdict) -> str:
    told = [line for line in lines if line.is_told]
    if not told:
        return "; ".join(dict.fromkeys(line.effect.cannot for line in lines))
    for_it = sum(line.verdict is Verdict.SUPPORTED for line in told)
    against = sum(line.verdict is Verdict.CONTRADICTED for line in told)
    still_open = len(told) - for_it - against
    text = f"{for_it} for, {against} against, {still_open} open; needs {combined.required} of {len(told)}"
    alone = min(combined.support, combined.contradict)
    if verdict is Verdict.UNDECIDED and alone <= ALPHA:
        side = Verdict.SUPPORTED if combined.support <= combined.contradict else Verdict.CONTRADICTED
        text += f"; {side} if it were the only claim, not as one of {num_claims}"
    return text


def seeds_needed(claim: Claim, lines: Sequence[Tested], required: int, num_claims: int) -> int | None:
    """Seeds from which on the claim would be decided with a chance of 80 %, if effects and spreads are as observed.

    The claim goes the way that its estimates lie; the lines on that side are judged at the level that the rule leaves
    them, and the slowest of those needed says the number. A line that cannot be told needs longer training instead.
    """
    told = [line for line in lines if line.is_told and line.spread is not None]
    if not told:
        return None
    inside = [line for line in told if _is_inside(line, claim.bounds) and line.effect.may_support]
    outside = [line for line in told if not _is_inside(line, claim.bounds)]
    leads = len(inside) >= required
    side, number = (inside, required) if leads else (outside, len(told) - required + 1)
    if len(side) < number:
        return None
    slowest = []
    for extra in range(len(side) - number + 1):
        level = ALPHA / num_claims * (extra + 1) / (len(lines) - number + 1)
        slowest.append(sorted(_needed(line, claim.bounds, level) for line in side)[number + extra - 1])
    return min(slowest)


def _is_inside(line: Tested, bounds: Bounds) -> bool:
    assert line.estimate is not None
    return (bounds.low is None or line.estimate > bounds.low) and (bounds.high is None or line.estimate < bounds.high)


@cache
def _quantiles(share: float) -> NDArray[np.float64]:
    """Of t, with the degrees of freedom of each number of seeds."""
    return stdtrit(_COUNTS - 1, share)


def _needed(line: Tested, bounds: Bounds, level: float) -> int:
    """Smallest n with t(1 - level) + t(power) <= sqrt(n) * distance / spread, both with n - 1 degrees of freedom."""
    assert line.estimate is not None and line.spread is not None
    distances = [abs(line.estimate - bound) for bound in (bounds.low, bounds.high) if bound is not None]
    reach = np.sqrt(_COUNTS) * min(distances) / line.spread
    enough = _quantiles(1 - level) + _quantiles(POWER) <= reach
    return int(_COUNTS[np.argmax(enough)]) if enough.any() else MOST_SEEDS + 1
