"""`study status`: how far a grid is, from the ledger alone."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from study.errors import one_line
from study.ledger import Ledger
from study.ledger_schema import STATUSES
from study.reply import Reply, duration, table
from study.spec import RunSpec

_RECENT = dt.timedelta(minutes=30)
"""The pace is that of the runs that ended within this time."""
_QUIET = dt.timedelta(minutes=10)
"""With no run ended for this long nothing may be running, so no estimate is given."""
_MAX_REASONS = 10


def answer(grid: str, runs: Sequence[RunSpec], ledger: Ledger) -> Reply:
    """Counts, reasons of failures, and an estimate of the remaining time where runs end right now."""
    rows = _rows_of(ledger.runs(), {run.run_id for run in runs})
    counts = dict.fromkeys(STATUSES, 0) | Counter(row["status"] for row in rows)
    missing = len(runs) - len(rows)
    reasons = Counter(row["error"] or "no reason recorded" for row in rows if row["status"] == "failed")
    eta = eta_seconds([row["ended_at"] for row in rows], missing, dt.datetime.now(dt.UTC))
    damaged = [f"{each.path}: {each.reason}" for each in ledger.damaged()]
    document = {
        "grid": grid,
        "total": len(runs),
        **counts,
        "missing": missing,
        "all_done": counts["failed"] == 0 and missing == 0,
        "eta_seconds": eta,
        "failures": dict(reasons.most_common()),
        "damaged_parts": damaged,
    }
    return Reply(document, _shown(document))


def _shown(document: dict) -> list:
    counts = [(name, document[name]) for name in (*STATUSES, "missing", "total")]
    shown: list = [table(document["grid"], ("runs", "number"), counts)]
    reasons = list(document["failures"].items())
    if reasons:
        shown.append(
            table("why runs failed", ("runs", "reason"), [(n, reason) for reason, n in reasons[:_MAX_REASONS]])
        )
        shown.append("`study run` with --retry-failed tries them again")
    if document["eta_seconds"] is not None:
        shown.append(
            f"at the pace of the last {_RECENT.seconds // 60} minutes done in {duration(document['eta_seconds'])}"
        )
    shown += [f"damaged part, left out: {one_line(part)}" for part in document["damaged_parts"]]
    return shown


def _rows_of(table: pa.Table, run_ids: set[str]) -> list[dict]:
    columns = table.select(["run_id", "status", "error", "ended_at"]).to_pylist()
    return [row for row in columns if row["run_id"] in run_ids]


def eta_seconds(ended: Sequence[dt.datetime], missing: int, now: dt.datetime) -> float | None:
    """Seconds until the missing runs have ended at the recent pace; None where nothing is missing or nothing ends.

    Args:
        ended: when the runs of the grid ended.
        missing: runs without a row.
        now: the present, with a time zone.
    """
    recent = sorted(time for time in ended if now - time < _RECENT)
    if missing == 0 or len(recent) < 2 or now - recent[-1] > _QUIET:
        return None
    # The first of them marks the start of the clock, so it is no part of the pace.
    pace = (len(recent) - 1) / max((now - recent[0]).total_seconds(), 1.0)
    return missing / pace
