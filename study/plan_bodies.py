"""Which bodies the runs of a plan start from, and what it costs to make those that are lacking. Reads no corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from study.bodies import BodySource, checkpoint_of, resolve
from study.body_store import has_body
from study.ledger import Ledger
from study.pretraining_steps import precision_on
from study.rates import hours
from study.reply import duration, quantity
from study.spec import RunSpec


def bodies_of(runs: Sequence[RunSpec], ledger: Ledger | None) -> list[dict[str, Any]]:
    """Bodies that are made, reused or loaded, in the order in which runs need them; drawn ones cost nothing.

    Args:
        runs: that are still to be trained.
        ledger: whose store may have some of them.

    Returns:
        For each its name, key, action ("make", "reuse", "load", or "fail" with a reason where its data are missing),
        the number of runs, and for those of our own the recipe's steps and tokens, the operations of making it and
        the hours that these take, shortest and longest, by kind of device.
    """
    sources, lacking = resolve(runs)
    needed: dict[tuple[str, str], BodySource | str | None] = {}
    num_runs: Counter[tuple[str, str]] = Counter()
    for run in runs:
        source = sources.get(run.run_id)
        if source is not None:
            key = (source.name, source.key)
        elif run.run_id in lacking or checkpoint_of(run) is not None:
            key = (f"{run.init} {run.body} {run.size or ''}".strip(), "")
        else:
            continue
        needed[key] = source or lacking.get(run.run_id)
        num_runs[key] += 1
    return [
        {"body": name, "key": key or None, "runs": num_runs[name, key], **_entry(found, ledger)}
        for (name, key), found in needed.items()
    ]


def _entry(found: BodySource | str | None, ledger: Ledger | None) -> dict[str, Any]:
    if not isinstance(found, BodySource):
        return {"action": "load"} if found is None else {"action": "fail", "reason": found}
    is_there = ledger is not None and has_body(ledger.storage, found.key)
    flops = found.train_flops
    precisions = {"cpu core": precision_on(torch.device("cpu")), "gpu": "bf16"}
    return {
        "action": "reuse" if is_there else "make",
        "num_steps": found.recipe.num_steps,
        "num_tokens": found.num_tokens,
        "train_flops": flops,
        "hours": {kind: hours(flops, kind, precision) for kind, precision in precisions.items()},
    }


def told(body: Mapping[str, Any]) -> str:
    """One of them in a line."""
    line = f"{body['action']} {body['body']} for {body['runs']} runs"
    if body["action"] == "fail":
        return f"{line}: {body['reason']}"
    if body["action"] != "make":
        return line
    low, high = (duration(3600 * value) for value in body["hours"]["cpu core"])
    return (
        f"{line}: {body['num_steps']:,} steps, {quantity(body['num_tokens'])} tokens, "
        f"{quantity(body['train_flops'])}FLOP, {low} to {high} on one cpu core"
    )
