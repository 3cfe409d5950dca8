"""What `study search` answers: one line per variant."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from study.reply import DONE, SOME_FAILED, Reply, table
from study.search_results import Outcome


def answer(outcomes: Sequence[Outcome]) -> Reply:
    """One line per variant: what was found, what it cost, what to expect of it."""
    document = {"searches": [_document(each) for each in outcomes]}
    rows = [_row(each) for each in outcomes]
    columns = ["variant", "proposals", "steps", "lr", "batch", "found in search", "with fresh seeds", "file or reason"]
    title = f"Search for {outcomes[0].plan.target.base.task}: validation accuracy, 95 % interval over seeds"
    shown: list[Any] = [table(title, columns, rows)]
    if any(each.setting for each in outcomes):
        shown.append(
            "`study run GRID --tuned` uses these; `study report` shows how accuracy hangs on the learning rate"
        )
    return Reply(document, shown, SOME_FAILED if any(each.reason for each in outcomes) else DONE)


def _document(outcome: Outcome) -> dict[str, Any]:
    setting = outcome.setting
    return {
        "variant": outcome.plan.target.variant,
        "study": outcome.plan.name,
        **outcome.counts,
        "num_steps": outcome.num_steps,
        "full_steps": _full_steps(outcome),
        "setting": None if setting is None else dataclasses.asdict(setting),
        "path": outcome.path,
        "reason": outcome.reason,
    }


def _full_steps(outcome: Outcome) -> int:
    """Updates that the proposals would have taken if none had been stopped."""
    return sum(outcome.counts.values()) * outcome.plan.num_seeds * outcome.plan.target.base.num_steps


def _row(outcome: Outcome) -> list[Any]:
    counts = ", ".join(f"{number} {state}" for state, number in outcome.counts.items() if number)
    steps = f"{outcome.num_steps:,} of {_full_steps(outcome):,}"
    if outcome.setting is None:
        return [outcome.plan.target.variant, counts, steps, None, None, None, None, outcome.reason]
    values, expected = outcome.setting.values, outcome.setting.expected
    accuracies = outcome.setting.found["search_accuracies"]
    found = f"{100 * sum(accuracies) / len(accuracies):.1f} %"
    fresh = None
    if expected:
        interval = "" if expected["low"] is None else f" [{100 * expected['low']:.1f}, {100 * expected['high']:.1f}]"
        fresh = f"{100 * expected['valid_accuracy']:.1f} %{interval}, {expected['num_seeds']} seeds"
    lr, batch = f"{values['lr']:.2g}", str(values["batch_size"])
    return [outcome.plan.target.variant, counts, steps, lr, batch, found, fresh, outcome.reason or outcome.path]
