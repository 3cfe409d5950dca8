"""What of a plan belongs to which table of the papers. A run that several tables share is counted in each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from study.grids import GRIDS
from study.grids.cells import Scale
from study.grids.tables import TABLES, table_runs
from study.preflight import Priced
from study.rates import hours
from study.reply import duration, quantity, table
from study.spec import RunSpec

_PLACE = "study.grids.tables:"


def is_of_tables(grid: str) -> bool:
    """Whether a grid is made of the papers' tables."""
    return GRIDS.get(grid, "").startswith(_PLACE)


def totals(priced: Sequence[Priced], finished: Mapping[str, str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """One entry per table and scale that has runs of the plan.

    Args:
        priced: the runs of the plan.
        finished: run id -> status of those that ended; they cost nothing more.
        kinds: kinds of device, as in `study.rates`.

    Returns:
        table, scale, title, runs, todo, then of what is to do: train_flops, eval_flops, hours (kind -> shortest and
        longest device-hours).
    """
    costs = {each.run.run_id: each for each in priced}
    entries = []
    for scale in Scale:
        for name, described in TABLES.items():
            here = [costs[run.run_id] for run in table_runs(name, scale) if run.run_id in costs]
            if not here:
                continue
            todo = [each for each in here if each.run.run_id not in finished]
            entries.append(
                {
                    "table": name,
                    "scale": str(scale),
                    "title": described.title,
                    "runs": len(here),
                    "todo": len(todo),
                    "train_flops": sum(each.train_flops for each in todo),
                    "eval_flops": sum(each.eval_flops for each in todo),
                    "hours": {kind: device_hours(todo, kind) for kind in kinds},
                }
            )
    return entries


def each_run(
    priced: Sequence[Priced], unpriced: Sequence[tuple[RunSpec, str]], finished: Mapping[str, str], tables: bool
) -> list[dict[str, Any]]:
    """One entry per run: run_id, status, tables that need it, train_flops and eval_flops (null where not priced)."""
    places: dict[str, list[str]] = {}
    for name in TABLES if tables else ():
        for scale in Scale:
            for run in table_runs(name, scale):
                places.setdefault(run.run_id, []).append(name)
    costs: list[tuple[RunSpec, float | None, float | None]] = [
        *((each.run, each.train_flops, each.eval_flops) for each in priced),
        *((run, None, None) for run, _ in unpriced),
    ]
    return [
        {
            "run_id": run.run_id,
            "status": finished.get(run.run_id, "missing"),
            "tables": places.get(run.run_id, []),
            "train_flops": train,
            "eval_flops": evaluation,
        }
        for run, train, evaluation in costs
    ]


def device_hours(todo: Sequence[Priced], kind: str) -> tuple[float, float]:
    """Shortest and longest device-hours at the achieved rates."""
    parts = [hours(each.train_flops + each.eval_flops, kind, each.run.precision) for each in todo]
    return sum(low for low, _ in parts), sum(high for _, high in parts)


def shown(entries: Sequence[Mapping[str, Any]]) -> list:
    """The totals for people."""
    lines = [
        (each["table"], each["scale"], each["title"], each["runs"], each["todo"], quantity(each["train_flops"]),
         quantity(each["eval_flops"]), *(_range(each["hours"][kind]) for kind in each["hours"]))
        for each in entries
    ]  # fmt: skip
    kinds = [f"on one {kind}" for kind in entries[0]["hours"]] if entries else []
    columns = ("table", "scale", "what", "runs", "to do", "FLOP training", "FLOP evaluation", *kinds)
    return [table("by table; runs that tables share are counted in each", columns, lines)] if entries else []


def _range(ends: tuple[float, float]) -> str:
    low, high = (duration(3600 * end) for end in ends)
    return f"{low} to {high}"
