"""How much hangs on the learning rate, as a section: sweeps of any task, and who is ahead on which share of them."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go

from analysis import load, page, search_frames, search_orderings, search_rates
from analysis.page import Section, Tags
from analysis.pictures import Picture
from analysis.sections import Part, Tables

WIDE, MEDIUM = 900, 560  # CSS pixels of room from which figures take their wide and their medium form


def learning_rates(data: Tables) -> Part | None:
    """Accuracy over learning rates, and the share of them on which each variant is ahead; None without a sweep."""
    found = search_frames.sweeps(data.frames, search_frames.read(data.frames))
    if found.empty:
        return None
    rates, shares = search_rates.table(found), search_orderings.orderings(found)
    shares = shares.sort_values("task", key=lambda tasks: tasks.map(load.order("task", tasks).index), kind="stable")
    body, pictures = "", []
    for (metric, level), here in rates.groupby(["metric", "scale"], sort=False):
        name = f"learning-rates-{slug(metric)}-{level}"
        caption = (
            f"{str(metric).capitalize()} against the learning rate, all else equal. Line: mean over done seeds; band: "
            f"{search_rates.BAND_TEXT} (a range, not a confidence interval); n = {_seeds(here)}. Long dashes: the "
            "learning rate as specified. Crosses: some seeds diverged there and take no part in the mean."
        )
        drawn = forms(lambda columns, here=here: search_rates.draw(here, columns=columns))
        picture = Picture(name, caption, alt_text(f"{metric} by learning rate", here), here, drawn)
        mine = shares[(shares["metric"] == metric) & (shares["scale"] == level)]
        block, drawn_here = page.figure(picture, command=data.command), [picture]
        if len(mine):
            picture = _orderings(mine, f"orderings-{slug(metric)}-{level}")
            block += page.figure(picture, command=data.command) + page.fold("The shares as a table", _share_table(mine))
            drawn_here.append(picture)
        title = f"{str(metric).capitalize()}, scale {level}"
        body += page.tagged(page.heading(title) + block, **tags_of(here))
        pictures += drawn_here
    note = (
        "A comparison at one learning rate speaks for that one. Where two variants change places along the axis, the "
        "statement to trust is the one with each at its own best, chosen on the validation split."
    )
    body = page.paragraph(note) + body
    return Part(Section("learning-rates", "How much hangs on the learning rate", body), tuple(pictures))


def _orderings(shares: pd.DataFrame, name: str) -> Picture:
    caption = (
        "Share of the swept learning rates, by logarithm, on which the first of two variants is ahead of the second. "
        "Strong: the 95 % paired t interval over seeds excludes zero; pale: it does not. White: "
        "exactly equal, or both diverged."
    )
    drawn = ((MEDIUM, search_orderings.draw(shares)), (0, search_orderings.draw(shares, is_narrow=True)))
    return Picture(name, caption, alt_text("orderings over the learning rate", shares), shares, drawn)


def _share_table(shares: pd.DataFrame) -> str:
    names = list(search_orderings.OUTCOMES)
    rows = [
        [each["task"], each["a"], each["b"], *(f"{each[name]:.0%}" for name in names), each["num_rates"]]
        for each in shares.to_dict("records")
    ]
    columns = ["task", "first", "second", *(f"first {name}" for name in names), "learning rates"]
    tags: list[Tags] = [Tags(task=each.task, protocol=each.protocol, scale=each.scale) for each in shares.itertuples()]
    caption = "Share of the learning rates (log axis) on which the first variant is ahead or behind"
    return page.table(rows, columns=columns, caption=caption, num_keys=3, tags=tags)


def forms(draw: Callable[[int], go.Figure]) -> tuple[tuple[int, go.Figure], ...]:
    """A figure for wide, medium and narrow pages, from the number of panels beside each other."""
    return tuple((width, draw(columns)) for width, columns in ((WIDE, 3), (MEDIUM, 2), (0, 1)))


def tags_of(rows: pd.DataFrame) -> dict[str, list[str]]:
    """What a block is about, for the page's filters."""
    return {name: sorted(rows[name].unique()) for name in ("task", "protocol", "scale")}


def slug(name: object) -> str:
    """A name as part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in str(name))


def alt_text(what: str, rows: pd.DataFrame) -> str:
    """One sentence for who cannot see the figure."""
    return f"Chart of {what} for {', '.join(load.order('task', rows['task']))}; the numbers are in the CSV below it."


def _seeds(rates: pd.DataFrame) -> str:
    return span(rates["num_seeds"][rates["num_seeds"] > 0])


def span(numbers: pd.Series, unit: str = "seeds") -> str:
    """The lowest and the highest of some counts in words."""
    if numbers.empty:
        return f"0 {unit}"
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
