"""The section with the papers' tables: published beside measured, difference marked, nothing left out in silence."""

from __future__ import annotations

import pandas as pd

from analysis import load, page, sweep, tables
from analysis.page import Section, Tags
from analysis.published import CONFIDENCE
from analysis.sections import Part, Tables
from analysis.settings import AS_SPECIFIED, TUNED
from study.errors import UserError
from study.grids.cells import Metric, Scale
from study.grids.tables import TABLES, cells
from study.spec import Protocol

_BOTH = "both"
_COUNTS = ("num_done", "num_diverged", "num_failed", "num_missing")
_HEADS = (
    *("row", "column", "measured", "published", "95 % interval", "n", "lacking", "protocol", "floor, chance"),
    "published lies",
)
_SMALL = (
    "Bodies, sequences and steps of this scale are smaller than the papers', so published and measured numbers are of "
    "different things: what can be compared is their order within a table."
)


def papers_tables(data: Tables) -> Part | None:
    """Every table of the papers of which a run was asked for."""
    body, absent, pictures = "", [], []
    ledger = tables.Ledger(data.frames)
    for scale in Scale:
        shown, lacking = "", []
        for tuning in tunings(data.frames):
            for name in TABLES:
                try:
                    rows = both_protocols(ledger, name, scale=scale, tuning=tuning)
                except UserError as error:
                    shown += page.paragraph(str(error), kind="notice")
                    break
                if len(rows):
                    shown += _fold(name, rows, scale, tuning)
                elif tuning == AS_SPECIFIED and name != "attention":
                    lacking.append(name)
        if (drawn := sweep.picture(ledger, scale)) is not None:
            shown += page.heading("The critique's learning rates") + page.figure(drawn, command=data.command)
            pictures.append(drawn)
        if lacking:
            absent.append(f"{', '.join(lacking) if shown else 'all'} at scale {scale}")
        if shown:
            note = page.paragraph(_SMALL) if scale is Scale.SMALL else ""
            body += page.tagged(page.heading(f"Scale {scale}") + note + shown, scale=str(scale))
    if not body:
        return None
    codes = "; ".join(f"{code}: {text}" for code, text in CONFIDENCE.items())
    lead = page.paragraph(
        "Accuracies in percent, at the step of best validation accuracy. Published numbers stand with how sure of them "
        f"we are ({codes}). The interval is a t interval over seeds; where seeds and bodies are crossed, the wider of "
        "that over seeds and that over bodies; of so few it may reach beyond 100 %. Diverged, failed and missing runs "
        "take no part in means. Floor: best trivial predictor."
    )
    end = page.paragraph(f"Tables of which no run was asked for: {'; '.join(absent)}.") if absent else ""
    return Part(Section("tables", "The papers' tables, published beside measured", lead + body + end), tuple(pictures))


def tunings(frames: load.Frames) -> list[str]:
    """How the runs of a ledger were tuned, as specified first."""
    is_tuned = any((part["tuning"] == TUNED).any() for part in (frames.compared.runs, frames.compared.missing))
    return [AS_SPECIFIED, *([TUNED] if is_tuned else [])]


def both_protocols(ledger: tables.Ledger, name: str, *, scale: Scale, tuning: str = AS_SPECIFIED) -> pd.DataFrame:
    """The cells of a table of which a run was asked for, with a column `protocol` more than `tables.table`.

    Where the protocols do not differ a cell stands here once, as "both".
    """
    asked = cells(name, scale)
    if tuning == AS_SPECIFIED and not any(ledger.has(run.run_id) for cell in asked for run in cell.runs):
        return pd.DataFrame(columns=[*tables.COLUMNS, "protocol"])
    parts = []
    for protocol in Protocol:
        rows = tables.table_of(ledger, name, scale=scale, protocol=protocol, tuning=tuning)
        parts.append(rows.assign(protocol=str(protocol)))
    differ = {(cell.row, cell.column): cell.under(Protocol.PAPER) != cell.under(Protocol.FIXED) for cell in asked}
    places = [list(zip(part["row"], part["column"], strict=True)) for part in parts]
    paper = parts[0][[differ[place] for place in places[0]]]
    fixed = parts[1].assign(protocol=[Protocol.FIXED if differ[place] else _BOTH for place in places[1]])
    rows = pd.concat([paper, fixed]).sort_index(kind="stable").reset_index(drop=True)
    return rows[rows[list(_COUNTS)].sum(axis=1) > 0].reset_index(drop=True)


def _fold(name: str, rows: pd.DataFrame, scale: Scale, tuning: str) -> str:
    """One table, folded, and below it what is to be known of its numbers."""
    table = TABLES[name]
    num_cells = len({(cell.row, cell.column) for cell in cells(name, scale)})
    num_here = len(rows[["row", "column"]].drop_duplicates())
    num_outside, num_inside = (int((rows["differs"] == where).sum()) for where in (tables.OUTSIDE, tables.INSIDE))
    title = f"{name} · {table.title} · {num_here} of {num_cells} cells"
    if scale is Scale.FULL and num_outside:
        title += f", published outside the interval in {num_outside} of {num_outside + num_inside}"
    title += f", {tuning}" if tuning != AS_SPECIFIED else ""
    tags = [
        Tags(task=row.task, scale=str(scale), **({} if row.protocol == _BOTH else {"protocol": row.protocol}))
        for row in rows.itertuples()
    ]
    caption = f"{table.title} ({table.source}), scale {scale}, learning rates {tuning}"
    # Of other sizes a published number is neither right nor wrong.
    last = None if scale is Scale.FULL else -1
    lines = [line[:last] for line in _lines(rows)]
    made = page.table(lines, columns=_HEADS[:last], caption=caption, num_keys=2, tags=tags)
    return page.tagged(page.fold(title, made + page.bullets(_notes(rows))), task=rows["task"].dropna().unique())


def _lines(rows: pd.DataFrame) -> list[list[object]]:
    return [
        [
            row["row"],
            row["column"],
            _measured(row),
            _published(row),
            None if pd.isna(row["low"]) and pd.isna(row["high"]) else f"{_end(row, 'low')} to {_end(row, 'high')}",
            row["num_done"],
            _lacking(row),
            row["protocol"],
            None if pd.isna(row["floor"]) else f"{row['floor']:.1f}, {row['chance']:.1f}",
            row["differs"],
        ]
        for row in rows.to_dict("records")
    ]


def _number(metric: str, value: float) -> str:
    if metric in (Metric.NUM_PARAMS_TOTAL, Metric.NUM_PARAMS_TRAINED, Metric.STEPS_TO_CONVERGENCE):
        return f"{value:,.0f}"
    if metric in (Metric.SPEEDUP, Metric.EPOCH_SPEEDUP):
        return f"{value:,.0f}x" if value >= 100 else f"{value:.2g}x"
    return f"{value:.1f}"


def _published(row: dict) -> str | None:
    if pd.isna(row["published"]):
        return None
    shown = _number(row["metric"], row["published"])
    shown += "" if pd.isna(row["published_high"]) else f" to {_number(row['metric'], row['published_high'])}"
    shown += "" if pd.isna(row["published_sem"]) else f" ± {row['published_sem']:.1f} s.e.m."
    return f"{shown} ({row['confidence']})"


def _measured(row: dict) -> str | None:
    if pd.isna(row["estimate"]):
        return None
    shown = f"{row['bound']} {_number(row['metric'], row['estimate'])}".strip()
    shown += "" if pd.isna(row["lr"]) else f" at {row['lr']:g}"
    return shown if pd.isna(row["formula"]) else f"{shown}; {row['formula']:,.0f} by the paper's count"


def _end(row: dict, end: str) -> str:
    return "?" if pd.isna(row[end]) else _number(row["metric"], row[end])


def _lacking(row: dict) -> str | None:
    words = {"num_diverged": "diverged", "num_failed": "failed", "num_missing": "missing", "num_not_asked": "not asked"}
    told = [f"{row[name]} {word}" for name, word in words.items() if row[name]]
    if not pd.isna(row["before_divergence"]):
        told.append(f"{row['before_divergence']:.1f} before divergence")
    return ", ".join(told) or None


def _notes(rows: pd.DataFrame) -> list[str]:
    """Notes on published numbers, and what the intervals are of."""
    told: dict[str, list[str]] = {}
    for row in rows.drop_duplicates(["row", "column"]).to_dict("records"):
        if row["note"]:
            told.setdefault(row["note"], []).append(f"{row['row']}, {row['column']}")
    notes = [f"Published {'; '.join(places)}: {note}." for note, places in told.items()]
    methods = sorted(set(rows["method"]) - {""})
    return [*notes, *([f"Intervals and estimates: {'; '.join(methods)}."] if methods else [])]
