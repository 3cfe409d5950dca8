"""The report: one self-contained HTML page, and beside it every figure as HTML, CSV, PNG and SVG."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from analysis import (
    attention_section,
    background,
    bodies,
    document,
    efficiency_section,
    general,
    load,
    overfitting_section,
    page,
    pictures,
    rates_section,
    scaling_section,
    search_section,
    sections,
    speed_section,
    tables_section,
    workers,
)
from analysis.claims import section as claims_section
from study.errors import UserError, one_line, place

TITLE = "Frozen pretrained transformers"
QUESTION = "Does language pretraining help a frozen transformer on other modalities?"
PARTS: tuple[Callable[[sections.Tables], sections.Part | None], ...] = (
    sections.answer,
    claims_section.claims,
    tables_section.papers_tables,
    general.test_accuracy,
    general.differences,
    general.learning_curves,
    speed_section.how_soon,
    attention_section.attention_maps,
    rates_section.learning_rates,
    search_section.searches,
    scaling_section.scaling_ladders,
    overfitting_section.overfits,
    efficiency_section.compute_efficiency,
    bodies.bodies,
    background.lacking,
    background.costs,
    background.sources,
)
"""The sections in reading order, one function each; None leaves a section out that has nothing to say of a ledger."""
_INDEX, _FIGURES = "index.html", "figures"


def write_report(out: str, to: str, command: list[str], *, num_processes: int = 1) -> Path:
    """Read the ledger at `out` and write the report into the folder `to`; an earlier report there is replaced.

    Args:
        out: folder or URI of the ledger.
        to: local folder, made where it is missing.
        command: the command line that asked for the report, shown with every figure.
        num_processes: processes that may make the sections of a large report.

    Returns:
        The path of index.html.

    Raises:
        UserError: no readable ledger, or `to` is a file, cannot be written, or holds something else than a report.
    """
    target = _checked(Path(to).expanduser())
    data = sections.tables(load.load(out), command=place(shlex.join(command)))
    parts = [part for part in workers.made(PARTS, data, num_processes=num_processes) if part is not None]
    drawn = [picture for part in parts for picture in part.pictures]
    try:
        target.mkdir(parents=True, exist_ok=True)
        # Prepared in the target itself, so that what remains is renaming within one file system.
        with tempfile.TemporaryDirectory(prefix=".report-", dir=target) as made:
            figures = Path(made) / _FIGURES
            figures.mkdir()
            for name, content in (file for part in parts for file in part.files.items()):
                (figures / name).write_text(content, encoding="utf-8")
            notices = pictures.save(drawn, figures, command=data.command)
            document = _document(data, parts, notices)
            (Path(made) / _INDEX).write_text(document, encoding="utf-8")
            _replace(figures, target / _FIGURES)
            (Path(made) / _INDEX).replace(target / _INDEX)
    except OSError as error:
        raise UserError(f"cannot write the report to '{one_line(to)}': {one_line(error)}") from None
    return target / _INDEX


def _document(data: sections.Tables, parts: list[sections.Part], notices: list[str]) -> str:
    lead = page.counts(data.frames.counts)
    lead += "".join(page.paragraph(notice, kind="notice") for notice in notices)
    return document.whole(title=TITLE, question=QUESTION, lead=lead, sections=[part.section for part in parts])


def _checked(target: Path) -> Path:
    """The folder, if it is free or holds an earlier report."""
    shown = one_line(target)
    try:
        nearest = next(path for path in (target, *target.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise UserError(f"'{one_line(nearest)}' is a file; --to needs a folder")
        if not os.access(nearest, os.W_OK):
            raise UserError(f"cannot write to '{one_line(nearest)}'; give --to a folder of your own")
        names = sorted(path.name for path in target.iterdir()) if target.exists() else []
        if names and not _is_report(target / _INDEX):
            found = ", ".join(names[:3])
            raise UserError(f"'{shown}' holds other files ({found}) and no report; give a new or empty folder")
    except OSError as error:
        raise UserError(f"cannot use '{shown}' for the report: {one_line(error)}") from None
    return target


def _is_report(index: Path) -> bool:
    """Whether the generator tag, which stands near the top of the page, is ours."""
    if not index.is_file():
        return False
    with index.open(encoding="utf-8", errors="replace") as file:
        return f'<meta name="generator" content="{page.GENERATOR}">' in file.read(2000)


def _replace(made: Path, final: Path) -> None:
    """Put a folder in the place of an earlier one, which is removed."""
    if final.exists():
        earlier = made.with_name("earlier")
        final.rename(earlier)
        shutil.rmtree(earlier)
    made.rename(final)
