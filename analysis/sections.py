"""What every section of the report starts from, and the first one: the answer in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from analysis import accuracy, axes, body_cards, comparisons, curves, load, page, scope, settings, summary
from analysis.page import Section
from analysis.pictures import Picture

MOST_SETTINGS, OPEN_SETTINGS = 8, 3
"""Settings that the general sections draw, and how many of them are not folded; of the others tables and CSV tell."""


@dataclass(frozen=True)
class Tables:
    """The tables that several sections share, made once.

    Attributes:
        curves: of the settings that are drawn.
    """

    frames: load.Frames
    cells: pd.DataFrame
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    bodies: body_cards.Bodies
    command: str

    @cached_property
    def settings(self) -> list[str]:
        """Settings that are drawn: those with something to compare first, then by number of runs."""
        return drawn_settings(self.frames)

    @cached_property
    def ladders(self) -> list[axes.Series]:
        """Scaling ladders of the ledger, which several sections draw."""
        return axes.find(self.frames.runs)

    @cached_property
    def tags(self) -> dict[str, page.Tags]:
        """What the runs of each drawn setting are about."""
        runs = self.frames.compared.runs
        return {name: scope.tags_of(runs[runs["setting"] == name]) for name in self.settings}


def tables(frames: load.Frames, *, command: str) -> Tables:
    """Estimate everything the report shows."""
    compared = frames.compared
    runs = compared.runs[compared.runs["setting"].isin(drawn_settings(frames))]
    return Tables(
        frames,
        cells=accuracy.table(compared),
        comparisons=comparisons.table(compared),
        curves=curves.table(replace(compared, runs=runs)),
        bodies=body_cards.read(frames),
        command=command,
    )


def drawn_settings(frames: load.Frames) -> list[str]:
    """The settings most worth drawing, see `settings.ranked`."""
    return settings.ranked(frames.compared.runs)[:MOST_SETTINGS]


@dataclass(frozen=True)
class Part:
    """A section with the pictures in it.

    Attributes:
        files: further files for the folder of figures, by name.
    """

    section: Section
    pictures: tuple[Picture, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def answer(data: Tables) -> Part:
    """The question's answer in sentences."""

    def sentences(setting: str) -> str:
        cells, rows = (table[table["setting"] == setting] for table in (data.cells, data.comparisons))
        if rows.empty and not data.comparisons.empty:
            return ""  # of many settings those that compare something
        told = summary.summarise(cells, rows)
        body = page.paragraph(told.answer, kind="answer")
        if len(data.settings) == 1:
            body += page.heading("Decided") + page.bullets(told.decided) if told.decided else ""
        elif told.decided:
            title = f"Decided: {summary.count(len(told.decided), 'comparison')}"
            body += page.fold(title, page.bullets(told.decided))
        body += page.bullets(told.trivial)
        if told.undecided:
            title = f"Undecided: {summary.count(len(told.undecided), 'comparison')}"
            body += page.fold(title, page.bullets(told.undecided))
        return body

    note = (
        "A comparison is decided when its 95 % interval excludes zero. Intervals speak about seeds, not about other "
        "tasks, sizes or learning rates."
    )
    body = by_setting(data, sentences) + page.paragraph(note)
    return Part(Section("summary", "What the numbers say", body))


def by_setting(data: Tables, content: Callable[[str], str]) -> str:
    """HTML of every drawn setting under its name, the later ones folded, and how many are not drawn."""
    body = ""
    for i, setting in enumerate(data.settings):
        own = content(setting)
        if not own:
            continue
        if len(data.settings) > OPEN_SETTINGS and i >= OPEN_SETTINGS:
            own = page.fold(setting, own)
        elif setting:
            own = page.heading(setting) + own
        body += page.tagged(own, **data.tags[setting])
    hidden = len(data.frames.compared.settings) - len(data.settings)
    if hidden:
        rule = "drawn are those with something to compare and the most runs"
        body += page.paragraph(f"{summary.count(hidden, 'further setting')} not drawn here; {rule}.", kind="notice")
    return body or page.paragraph("Nothing to draw.")
