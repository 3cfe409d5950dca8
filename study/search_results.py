"""What a search found, as a tuned setting: the best proposal, its budget, and what runs with fresh seeds reached."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from study import search_rows, tuned
from study.ledger import Ledger
from study.provenance import git_revision, versions
from study.search_plan import Journal, Plan, open_study, rows
from study.search_readings import COMPLETE, DIVERGED, FAILED, PRUNED, readings, state_of
from study.search_study import SearchStudy
from study.spec import RunSpec

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Outcome:
    """What became of one search.

    Attributes:
        plan: what was searched.
        counts: proposals by how they ended.
        num_steps: updates that were made for all of them.
        setting: the best one; None where no proposal was complete.
        path: of its file below the ledger.
        reason: why there is no setting, or why none of its runs with fresh seeds is there; empty where all is well.
    """

    plan: Plan
    counts: Mapping[str, int]
    num_steps: int
    setting: tuned.TunedSetting | None
    path: str
    reason: str


def found(ledger: Ledger, plan: Plan, reason: str) -> Outcome:
    """How a search ended; its proposals and its best setting are written."""
    study = open_study(plan, Journal(ledger.storage, plan.name))
    # A worker wrote them, but for what a kill left behind.
    search_rows.write(ledger.storage, plan.name, rows(plan, study))
    states = [state_of(trial) for trial in study.trials]
    counts = {state: states.count(state) for state in (COMPLETE, PRUNED, DIVERGED, FAILED)}
    num_steps = sum(max((each.num_steps for each in readings(trial)), default=0) for trial in study.trials)
    left = study.num_left + len(study.unfinished())
    if left:
        reason = reason or f"{left} proposals are missing; the same command continues"
    if study.best is None:
        return Outcome(plan, counts, num_steps, None, "", reason or "no proposal was complete")
    setting = _as_it_was_found(ledger, _setting(plan, study, counts, num_steps))
    return Outcome(plan, counts, num_steps, setting, tuned.write(ledger.storage, setting), reason)


def _as_it_was_found(ledger: Ledger, setting: tuned.TunedSetting) -> tuned.TunedSetting:
    """A command that evaluated nothing new changes neither the date nor the versions of what was found."""
    _, before = tuned.find(ledger.storage, setting.task, setting.variant, setting.key)
    same = ("study", "proposal", "proposals", "num_steps_spent")
    if before is None or any(before.found.get(name) != setting.found[name] for name in same):
        return setting
    kept = {name: before.found[name] for name in ("git_revision", "versions", "found_at") if name in before.found}
    return dataclasses.replace(setting, found={**setting.found, **kept})


def _setting(plan: Plan, study: SearchStudy, counts: Mapping[str, int], num_steps: int) -> tuned.TunedSetting:
    best = study.best
    assert best is not None
    base = plan.target.base
    last = readings(best)[-1]
    how = {
        "study": plan.name,
        "proposal": best.number,
        "sampler": plan.sampler,
        "space": plan.space.described(),
        "proposals": sum(counts.values()),
        **counts,
        "seeds": plan.num_seeds,
        "num_steps": base.num_steps,
        "num_steps_spent": num_steps,
        "search_accuracies": list(last.accuracies),
        "git_revision": git_revision(),
        "versions": dict(versions()),
        "found_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return tuned.TunedSetting(
        base.task, plan.target.variant, tuned.holds_for(base), plan.space.values(best.params), how
    )


def confirmed(ledger: Ledger, outcome: Outcome) -> Outcome:
    """With the validation accuracy that the runs with fresh seeds reached, which is written too."""
    if outcome.setting is None:
        return outcome
    runs = tuned.apply(outcome.plan.target.runs, [outcome.setting]).different
    expected = _expected(ledger, runs)
    if not expected:
        return dataclasses.replace(outcome, reason="no run with fresh seeds is done")
    setting = dataclasses.replace(outcome.setting, expected=expected)
    return dataclasses.replace(outcome, setting=setting, path=tuned.write(ledger.storage, setting))


def _expected(ledger: Ledger, runs: Sequence[RunSpec]) -> dict[str, Any]:
    """Mean validation accuracy of the done runs with its t interval; empty where there is none."""
    ids = {run.run_id for run in runs}
    reached = [row for row in ledger.runs(["run_id", "status", "valid_accuracy"]).to_pylist() if row["run_id"] in ids]
    values = [row["valid_accuracy"] for row in reached if row["status"] == "done"]
    if not values:
        return {}
    mean, half = t_interval(values)
    return {
        "valid_accuracy": mean,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "interval": "95 % t interval of the mean over seeds that the search has not seen",
        "num_seeds": len(values),
        "num_diverged": sum(row["status"] == "diverged" for row in reached),
        "run_ids": sorted(ids),
    }


def t_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half the width of its two-sided Student t interval; None for a single value."""
    from scipy.stats import t

    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    quantile = float(t.ppf(0.5 + _CONFIDENCE / 2, len(values) - 1))
    return mean, quantile * math.sqrt(variance / len(values))
