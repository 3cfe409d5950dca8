"""`study status`: how far a grid is, from the ledger and from what a driver that is at work tells of itself."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

from study.errors import one_line
from study.ledger import Ledger
from study.ledger_schema import STATUSES
from study.reply import Reply, duration, quantity, table
from study.running import Driver, drivers
from study.spec import RunSpec

_RECENT = dt.timedelta(minutes=30)
"""The pace is that of the runs that ended within this time."""
_QUIET = dt.timedelta(minutes=10)
"""With no run ended for this long nothing may be running, so no estimate is given."""
_MAX_REASONS = 10
_COLUMNS = ("run_id", "status", "error", "ended_at")


def answer(grid: str, runs: Sequence[RunSpec], ledger: Ledger) -> Reply:
    """Counts, reasons of failures, what is at work, and an estimate of the remaining time where something is.

    docs/watching.md says what the fields of the document mean.
    """
    run_ids = {run.run_id for run in runs}
    rows = [row for row in ledger.runs(_COLUMNS).to_pylist() if row["run_id"] in run_ids]
    counts = dict.fromkeys(STATUSES, 0) | Counter(row["status"] for row in rows)
    unfinished = run_ids - {row["run_id"] for row in rows}
    heard = drivers(ledger.storage)
    alive = [driver for driver in heard if driver.is_alive]
    at_work = unfinished & {run_id for driver in alive for run_id in driver.state.get("run_ids", ())}
    reasons = Counter(row["error"] or "no reason recorded" for row in rows if row["status"] == "failed")
    missing = len(runs) - len(rows)
    eta = alive[0].state.get("eta_seconds") if at_work else None
    if eta is None:
        eta = eta_seconds([row["ended_at"] for row in rows], missing, dt.datetime.now(dt.UTC))
    document = {
        "grid": grid,
        "total": len(runs),
        **counts,
        "missing": missing,
        "running": len(at_work),
        "all_done": counts["failed"] == 0 and missing == 0,
        "eta_seconds": eta,
        "drivers": [_told(driver) for driver in heard],
        "failures": dict(reasons.most_common()),
        "damaged_parts": [f"{each.path}: {each.reason}" for each in ledger.damaged()],
    }
    return Reply(document, _shown(document))


def _told(driver: Driver) -> dict[str, Any]:
    """What a driver said of itself, without the long list of its runs."""
    state = {name: value for name, value in driver.state.items() if name != "run_ids"}
    who = {"host": driver.host, "pid": driver.pid, "seconds_ago": driver.seconds_ago, "is_alive": driver.is_alive}
    return who | state


def _shown(document: dict) -> list:
    counts = [(name, document[name]) for name in (*STATUSES, "missing", "total")]
    if document["running"]:
        counts.insert(-1, ("of these running", document["running"]))
    shown: list = [table(document["grid"], ("runs", "number"), counts)]
    shown += [_line(driver, document["missing"]) for driver in document["drivers"]]
    reasons = list(document["failures"].items())
    if reasons:
        shown.append(
            table("why runs failed", ("runs", "reason"), [(n, reason) for reason, n in reasons[:_MAX_REASONS]])
        )
        shown.append("`study run` with --retry-failed tries them again")
    if document["eta_seconds"] is not None:
        shown.append(f"at the present pace done in {duration(document['eta_seconds'])}")
    shown += [f"damaged part, left out: {one_line(part)}" for part in document["damaged_parts"]]
    return shown


def _line(driver: dict[str, Any], missing: int) -> str:
    who = f"process {driver['pid']} on {one_line(driver['host'])}"
    if not driver["is_alive"]:
        again = "; the same `study run` continues" if missing else ""
        return f"the driver ({who}) was last heard {duration(driver['seconds_ago'])} ago{again}"
    pace, speed, memory = (driver.get(name) for name in ("ended_per_minute", "flops_per_second", "gpu_memory_bytes"))
    words = [f"running ({who}): {driver.get('trials_at_work', 0)} trials at work"]
    words += [f"{pace:.3g} {driver.get('counted', 'runs')}/min"] if pace else []
    words += [f"{quantity(speed)}FLOP/s"] if speed else []
    words += [f"{memory / 2**30:.1f} GiB of GPU memory"] if memory else []
    return ", ".join(words)


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
