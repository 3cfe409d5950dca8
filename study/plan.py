"""`study plan`: what a grid is made of and what it will cost. Nothing runs and nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from study import plan_tables
from study.ledger import Ledger
from study.ledger_schema import STATUSES
from study.packing import MAX_SIZE, Device, make_packs, pack_bytes
from study.plan_bodies import bodies_of, told
from study.preflight import Priced
from study.rates import MEASURED
from study.reply import Reply, duration, quantity, table
from study.spec import RunSpec

_DEVICES: dict[str, Device] = {"cpu core": "cpu", "gpu": "cuda"}
_TYPICAL_BYTES: dict[Device, float] = {"cpu": 4e9, "cuda": 80e9}
"""Memory of a trial that packs are sized for here; `study run` takes that of the machines it finds."""


def answer(
    grid: str, priced: Sequence[Priced], ledger: Ledger | None, unpriced: Sequence[tuple[RunSpec, str]] = ()
) -> Reply:
    """Runs, packs, parameters, operations, memory, hours, bodies, tables; with a ledger also what of it is done.

    Args:
        grid: its name.
        priced: its runs with their cost.
        ledger: where their rows would be; None without one.
        unpriced: runs whose checkpoint is not at hand, and why; they are counted and have no cost.
    """
    finished = ledger.finished() if ledger else {}
    todo = [each for each in priced if each.run.run_id not in finished]
    runs = [*(each.run for each in priced), *(run for run, _ in unpriced)]
    of_tables = plan_tables.is_of_tables(grid)
    counts = Counter(finished.get(run.run_id, "missing") for run in runs)
    footprints = {each.run.run_id: each.footprint for each in todo}
    packs = {
        device: make_packs(
            [each.run for each in todo], device=device, footprints=footprints, memory_bytes=_TYPICAL_BYTES[device]
        )
        for device in MAX_SIZE
    }
    document = {
        "grid": grid,
        "runs": len(runs),
        **({status: counts[status] for status in STATUSES} if ledger else {}),
        "missing": counts["missing"],
        "train_flops": sum(each.train_flops for each in todo),
        "eval_flops": sum(each.eval_flops for each in todo),
        "packs": {device: len(packs[device]) for device in packs},
        "hours": {kind: plan_tables.device_hours(todo, kind) for kind in _DEVICES},
        "pack_memory_bytes": {
            device: max((pack_bytes(pack.runs, footprints[pack.runs[0].run_id]) for pack in packs[device]), default=0)
            for device in packs
        },
        "kinds": _kinds(priced),
        "bodies": bodies_of([each.run for each in todo], ledger),
        "unreachable": _unreachable(unpriced),
        "tables": plan_tables.totals(priced, finished, list(_DEVICES)) if of_tables else [],
        "each": plan_tables.each_run(priced, unpriced, finished, of_tables),
    }
    return Reply(document, _shown(document))


def _kinds(priced: Sequence[Priced]) -> list[dict[str, Any]]:
    """One entry per task, body and train set; runs of one kind differ little in what they cost."""
    kinds: dict[tuple, list[Priced]] = {}
    for each in priced:
        run = each.run
        kinds.setdefault((run.task, run.body, run.size or run.init, run.train_set_name), []).append(each)
    return [
        {
            "task": task,
            "body": f"{body} {size}",
            "train_set": train_set,
            "runs": len(members),
            "tokens": max(each.num_tokens for each in members),
            "params": max(each.cost.num_params_total for each in members),
            "trained": max(each.cost.num_params_trained for each in members),
            "train_flops": sum(each.train_flops for each in members),
            "eval_flops": sum(each.eval_flops for each in members),
        }
        for (task, body, size, train_set), members in kinds.items()
    ]


def _unreachable(unpriced: Sequence[tuple[RunSpec, str]]) -> list[dict[str, Any]]:
    """Checkpoints that are neither here nor to be fetched, with the number of runs that need each."""
    needed = Counter((run.init, reason) for run, reason in unpriced)
    return [{"init": init, "runs": runs, "reason": reason} for (init, reason), runs in needed.items()]


def _shown(document: Mapping[str, Any]) -> list:
    kinds = [
        (k["task"], k["body"], k["train_set"], k["runs"], k["tokens"], quantity(k["params"]), quantity(k["trained"]),
         quantity(k["train_flops"]), quantity(k["eval_flops"]))
        for k in document["kinds"]
    ]  # fmt: skip
    columns = ("task", "body", "train set", "runs", "tokens", "params", "trained", "FLOP training", "FLOP evaluation")
    shown: list = [table(document["grid"], columns, kinds), *plan_tables.shown(document["tables"])]
    counts = [f"{document[name]} {name}" for name in (*STATUSES, "missing") if name in document]
    shown.append(f"{document['runs']} runs: {', '.join(counts)}")
    for kind, device in _DEVICES.items():
        low, high = (duration(3600 * hours) for hours in document["hours"][kind])
        packs, memory = document["packs"][device], quantity(document["pack_memory_bytes"][device])
        measured = "" if kind in MEASURED else " (assumed rates, not measured)"
        shown.append(f"on one {kind}: {packs} packs, {low} to {high}{measured}; largest pack about {memory}B of memory")
    shown += [told(body) for body in document["bodies"]]
    return shown + [f"not priced: {each['runs']} runs, {each['reason']}" for each in document["unreachable"]]
