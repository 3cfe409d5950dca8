"""The section on bodies: how their pretraining went, how the inits differ tensor by tensor, and the cards."""

from __future__ import annotations

import pandas as pd

from analysis import body_curves, body_table, body_tensors, load, page, tensor_figure
from analysis.body_cards import Bodies
from analysis.page import Section
from analysis.pictures import Picture
from analysis.sections import Part, Tables
from analysis.summary import count

MOST_ARCHITECTURES, MOST_NUMBERS, MOST_NAMES = 3, 200, 20
"""Architectures that are drawn, lines of a table of tensors, and keys or problems that are named one by one."""
_WIDE, _MEDIUM = 900, 560  # CSS pixels of room from which figures take their wide and their medium form
_NOTE = (
    "Mean and standard deviation are all that the init statistics copies of a tensor. The spectral norm, the largest "
    "factor by which a matrix stretches a vector, also depends on how the values are arranged: it is near 1 relative "
    "to that of independent values where they are in no order, as in random and shuffled bodies."
)


def bodies(data: Tables) -> Part:
    """Learning curves of pretraining, statistics of tensors, cards."""
    found = data.bodies
    body = "".join(page.paragraph(line, kind="notice") for line in _notices(found))
    pictures: list[Picture] = []
    if found.cards.empty:
        body += page.paragraph("No body of this ledger has a card.")
    else:
        for title, make in (("Learning curves of pretraining", _curves), ("Tensors by depth", _tensors)):
            content, made = make(data)
            body += page.heading(title) + content if content else ""
            pictures += made
        body += page.heading("Cards") + body_table.cards(found)
    return Part(Section("bodies", "Bodies: where the weights come from", body), tuple(pictures))


def _notices(found: Bodies) -> list[str]:
    """What of the bodies is lacking."""
    lines = [f"Left out of this section: {line}" for line in found.problems[:MOST_NAMES]]
    if len(found.problems) > MOST_NAMES:
        lines.append(f"Left out of this section too, for faults of cards: {len(found.problems) - MOST_NAMES} more.")
    if found.lost:
        names = list(found.lost)
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        used = count(sum(found.lost.values()), "run")
        named = f"{', '.join(names[:MOST_NAMES])}{more}"
        lines.append(f"Bodies without a card that runs used: {len(names)}, by {used} ({named}).")
    if found.num_without:
        lines.append(f"Folders without a card (in the making, or given up) that no run used: {found.num_without}.")
    if found.num_unread:
        lines.append(f"Bodies beyond the {len(found.full)} most used ones, not read: {found.num_unread}.")
    return lines


def _curves(data: Tables) -> tuple[str, list[Picture]]:
    """HTML and picture of the learning curves; empty where no body was pretrained here."""
    table = body_curves.table(data.bodies)
    shown = body_curves.drawn(table)
    if shown.empty:
        return "", []
    left_out = table["key"].nunique() - shown["key"].nunique()
    caption = (
        "Figure of merit on data held out of pretraining; ↓ lower is better, ↑ higher is better. One line per body, a "
        "mark per evaluation; dashed: a trivial predictor of the same data. Panels of different data do not compare."
        + (" Tokens are on a logarithmic axis, which leaves out the untrained bodies." if _is_log(shown) else "")
        + (f" The curves of {count(left_out, 'further card')} are in the CSV only." if left_out else "")
    )
    alt = (
        f"Chart of the held-out figure of merit by tokens seen, for pretraining on {_inits(shown)}; the last values "
        "are in the table of bodies, all in the CSV below it."
    )
    drawn = tuple((width, body_curves.draw(shown, columns=most)) for width, most in ((_WIDE, 3), (_MEDIUM, 2), (0, 1)))
    picture = Picture("body-curves", caption, alt, table, drawn)
    return page.figure(picture, command=data.command), [picture]


def _is_log(curves: pd.DataFrame) -> bool:
    return body_curves.is_logarithmic(curves)


def _tensors(data: Tables) -> tuple[str, list[Picture]]:
    """HTML and pictures of the statistics of tensors, architecture by architecture; empty where no card has them."""
    table = body_tensors.table(data.bodies)
    names = body_tensors.architectures(table)
    if not names:
        return "", []
    content, pictures = page.paragraph(_NOTE) + page.bullets(body_tensors.compared(data.bodies, table)), []
    for i, name in enumerate(names[:MOST_ARCHITECTURES]):
        mine = table[table["architecture"] == name]
        made = _tensor_pictures(mine, name, f"-{i + 1}" if i else "")
        inits = load.order("init", mine["init"])
        rows = body_tensors.numbers(mine, inits)
        part = f"; {MOST_NUMBERS} of {len(rows)} lines" if len(rows) > MOST_NUMBERS else ""
        caption = f"Tensors of {name}: mean over layers and bodies (least to largest){part}"
        columns = ["tensor", "statistic", *inits]
        numbers = page.table(rows[:MOST_NUMBERS], columns=columns, caption=caption, num_keys=2)
        content += page.heading(f"Tensors of {name}") if len(names) > 1 else ""
        content += "".join(page.figure(picture, command=data.command) for picture in made)
        content += page.fold(f"The tensors of {name} as a table", numbers)
        pictures += made
    hidden = len(names) - MOST_ARCHITECTURES
    if hidden > 0:
        content += page.paragraph(f"{count(hidden, 'further architecture')} of this ledger not drawn.", kind="notice")
    return content, pictures


def _tensor_pictures(tensors: pd.DataFrame, name: str, suffix: str) -> list[Picture]:
    """Matrices, and layer norms, of one architecture; none for a body that has none."""
    shown = body_tensors.drawn(tensors)
    left_out = tensors["key"].nunique() - shown["key"].nunique()
    rest = f" The tensors of {count(left_out, 'further card')} are in the CSV only." if left_out else ""
    more = (
        "The relative spectral norm is divided by σ(√rows + √columns), that of independent values with the same "
        "standard deviation σ (Geman 1980). The CSV has every tensor, those outside the layers too."
    )
    what = {
        "matrices": ("mean, standard deviation and spectral norm of the matrices", body_tensors.matrices(shown), more),
        "norms": ("mean and standard deviation of the layer norms' weights and biases", body_tensors.norms(shown), ""),
    }
    pictures = []
    for key, (text, rows, csv) in what.items():
        if rows.empty:
            continue
        num_kinds, most = rows["kind"].nunique(), tensor_figure.MOST_KINDS
        part = f" Drawn are {most} of {num_kinds} kinds." if num_kinds > most else ""
        caption = f"{name}: {text}, by layer. Marks at one place lie inside each other.{part} {csv}{rest}"
        alt = f"Chart of {text} of {name} by layer, for {_inits(rows)}; the numbers are in the table and the CSV below."
        widths = _columns(min(num_kinds, most))
        figures = tensor_figure.draw(rows, columns=list(widths.values()), shares_axis=key == "matrices")
        drawn = tuple(zip(widths, figures, strict=True))
        pictures.append(Picture(f"body-{key}{suffix}", caption, alt, tensors if csv else rows, drawn))
    return pictures


def _columns(num_kinds: int) -> dict[int, int]:
    """By least width of the page: panels beside each other, with as few gaps as may be in the last line."""
    wide, medium = num_kinds if num_kinds < 8 else 5, 4 if num_kinds in (4, 7, 8) else 3
    return {_WIDE: wide, _MEDIUM: medium, 0: 1} if wide > medium else {_MEDIUM: wide, 0: 1}


def _inits(table: pd.DataFrame) -> str:
    return ", ".join(load.order("init", table["init"]))
