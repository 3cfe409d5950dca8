"""The registry, and its verdicts on a ledger as tables."""

from __future__ import annotations

import pandas as pd

from analysis import load
from analysis.attention import mass
from analysis.claims import critique, mechanism, transfer
from analysis.claims.claim import Claim, Family, Unit, Verdict
from analysis.claims.context import contexts
from analysis.claims.effect import Tested, tested
from analysis.claims.judgement import Result, judge

REGISTRY: dict[str, Claim] = {claim.id: claim for claim in (*transfer.CLAIMS, *mechanism.CLAIMS, *critique.CLAIMS)}
"""Every claim by its id, in reading order."""


def evaluate(
    frames: load.Frames, *, attention: pd.DataFrame | None = None, claims: dict[str, Claim] | None = None
) -> list[Result]:
    """The verdict of every claim in every context that the ledger has runs in.

    Args:
        frames: the ledger.
        attention: run_id, task, mass_on_relevant, uniform, untrained (shares of attention) of single runs; by
            default those of the ledger, as `analysis.attention.mass` gives them.
        claims: other claims than those of the registry.
    """
    found = []
    chosen = REGISTRY if claims is None else claims
    masses = mass(frames.attention, frames.runs) if attention is None and len(frames.attention) else attention
    for context in contexts(frames, masses):
        for family in Family:
            own = [claim for claim in chosen.values() if claim.family is family]
            lines = [[tested(effect, claim.bounds) for effect in claim.measure(context)] for claim in own]
            found += judge([(claim, context, some) for claim, some in zip(own, lines, strict=True)])
    return found


def table(results: list[Result]) -> pd.DataFrame:
    """One row per claim and context.

    Columns: protocol, scale, tuning, claim (id), sentence, source, family, verdict, num_tasks (with a pair of runs),
    num_tasks_of_source (of those, in the source), num_tasks_in_source,
    num_lines, num_told (lines on which the sides can be told apart), required (of those), num_for, num_against (of
    those, each line by itself at its 95 % interval), p_support, p_contradict (one-sided, of the claim by itself),
    p_adjusted (the smaller, corrected over the family), num_claims (of the family, run in this context), num_seeds_low,
    num_seeds_high (units behind the lines), num_seeds_needed, num_diverged, num_unpaired, why.
    """
    return pd.DataFrame([_row(result) for result in results], columns=_COLUMNS)


_CONTEXT = ("protocol", "scale", "tuning")
_COLUMNS = [
    *(
        *_CONTEXT,
        "claim",
        "sentence",
        "source",
        "family",
        "verdict",
        "num_tasks",
        "num_tasks_of_source",
        "num_tasks_in_source",
        "num_lines",
        "num_told",
        "required",
    ),
    *("num_for", "num_against"),
    *("p_support", "p_contradict", "p_adjusted", "num_claims", "num_seeds_low", "num_seeds_high", "num_seeds_needed"),
    *("num_diverged", "num_unpaired", "why"),
]


def _row(result: Result) -> dict[str, object]:
    run = {line.effect.task for line in result.lines if line.estimate is not None}
    claim, units = result.claim, [line.num_units for line in result.lines if line.num_units]
    return {
        **{name: getattr(result.context, name) for name in _CONTEXT},
        "claim": claim.id,
        "sentence": claim.sentence,
        "source": claim.source,
        "family": str(claim.family),
        "verdict": str(result.verdict),
        "num_tasks": len(run),
        "num_tasks_of_source": len(run & {*claim.tasks}),
        "num_tasks_in_source": len(claim.tasks),
        "num_lines": len(result.lines),
        "num_told": len(result.told),
        "required": result.required,
        "num_for": sum(line.verdict is Verdict.SUPPORTED for line in result.told),
        "num_against": sum(line.verdict is Verdict.CONTRADICTED for line in result.told),
        "p_support": result.p_support,
        "p_contradict": result.p_contradict,
        "p_adjusted": result.p_adjusted,
        "num_claims": result.num_claims,
        "num_seeds_low": min(units, default=0),
        "num_seeds_high": max(units, default=0),
        "num_seeds_needed": result.num_seeds_needed,
        "num_diverged": sum(line.effect.num_diverged for line in result.lines),
        "num_unpaired": sum(line.effect.num_unpaired for line in result.lines),
        "why": result.why,
    }


def effects(results: list[Result]) -> pd.DataFrame:
    """One row per line of every claim and context.

    Columns: protocol, scale, tuning, claim, task, line, setting, unit (of estimate, low and high: percentage points,
    ratios, ...), estimate, low, high (95 % interval; null where there is none), printed (the source's own effect, of
    its own sizes), bound_low, bound_high (of the claim),
    matches_within (the smallest margin at which the line would be alike; of claims of equivalence), verdict (of the
    line by itself), cannot (why the sides cannot be told apart; "" where they can), p_support, p_contradict, num_seeds,
    method, a, b, floor (fractions), num_diverged, num_unpaired, num_other (further places that do not count).
    """
    rows = [_effect_row(result, line) for result in results for line in result.lines]
    return pd.DataFrame(rows, columns=_EFFECT_COLUMNS)


_EFFECT_COLUMNS = [
    *(
        *_CONTEXT,
        "claim",
        "task",
        "line",
        "setting",
        "unit",
        "estimate",
        "low",
        "high",
        "printed",
        "bound_low",
        "bound_high",
    ),
    *("matches_within", "verdict", "cannot", "p_support", "p_contradict", "num_seeds", "method", "a", "b", "floor"),
    *("num_diverged", "num_unpaired", "num_other"),
]


def _effect_row(result: Result, line: Tested) -> dict[str, object]:
    claim, effect = result.claim, line.effect
    bounds = claim.bounds
    ends = (line.low, line.high)
    within = None
    if bounds.is_equivalence and claim.unit is Unit.POINTS and None not in ends:
        within = max(abs(end) for end in ends if end is not None)
    numbers = {
        "estimate": line.estimate,
        "low": line.low,
        "high": line.high,
        "bound_low": bounds.low,
        "bound_high": bounds.high,
        "matches_within": within,
    }
    return {
        **{name: getattr(result.context, name) for name in _CONTEXT},
        "claim": claim.id,
        "task": effect.task,
        "line": effect.line,
        "setting": effect.setting,
        "unit": str(claim.unit),
        **{name: claim.unit.shown(value) for name, value in numbers.items()},
        "printed": claim.printed(effect.task, effect.line),
        "verdict": str(line.verdict),
        "cannot": effect.cannot,
        "p_support": line.p_support,
        "p_contradict": line.p_contradict,
        "num_seeds": line.num_units,
        "method": line.method,
        "a": effect.a,
        "b": effect.b,
        "floor": effect.floor,
        "num_diverged": effect.num_diverged,
        "num_unpaired": effect.num_unpaired,
        "num_other": effect.num_other,
    }
