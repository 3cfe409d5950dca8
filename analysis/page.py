"""Pieces of the HTML page. Everything that may come from data is escaped here, in one place."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import NotRequired, TypedDict

import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from analysis import style
from analysis.pictures import Picture

GENERATOR = "fpt-study report"
"""Content of the page's generator tag, by which a later report knows the folder as its own."""
_LARGEST_EMBEDDED_CSV = 1_000_000  # bytes; larger tables are only beside the page


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own and a place in the table of contents.

    Attributes:
        key: id of the element, unique on the page.
        title: heading, plain text.
        body: HTML made by the functions of this module.
    """

    key: str
    title: str
    body: str


class Tags(TypedDict):
    """What a block or a row is about; an axis that is left out means: shown whatever is chosen on it."""

    task: NotRequired[str | Iterable[str]]
    protocol: NotRequired[str | Iterable[str]]
    scale: NotRequired[str | Iterable[str]]


def text(value: object) -> str:
    """Anything as text that is safe inside an element or a quoted attribute."""
    return html.escape(str(value), quote=True)


def paragraph(content: str, *, kind: str = "") -> str:
    """A paragraph of plain text; kind is a class of the style sheet ("lead", "notice")."""
    return f'<p class="{text(kind)}">{text(content)}</p>' if kind else f"<p>{text(content)}</p>"


def bullets(items: Iterable[str]) -> str:
    """A list of plain texts; nothing where there is none."""
    lines = "".join(f"<li>{text(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def heading(content: str) -> str:
    """A heading inside a section."""
    return f"<h3>{text(content)}</h3>"


def fold(title: str, content: str) -> str:
    """HTML that the reader opens; the title is plain text."""
    return f"<details><summary>{text(title)}</summary>{content}</details>"


def tagged(
    content: str,
    *,
    task: str | Iterable[str] = (),
    protocol: str | Iterable[str] = (),
    scale: str | Iterable[str] = (),
) -> str:
    """HTML that the page's filters show or hide as one block.

    Args:
        content: HTML made by the functions of this module.
        task, protocol, scale: what it is about, a value or several; with several it is shown where any is chosen,
            with none whatever is chosen.
    """
    return f"<div{_data({'task': task, 'protocol': protocol, 'scale': scale})}>{content}</div>"


def _data(tags: Tags) -> str:
    """Tags as attributes of an element, several values apart by line breaks, which no name holds."""
    values = {"task": tags.get("task", ()), "protocol": tags.get("protocol", ()), "scale": tags.get("scale", ())}
    names = {axis: some if isinstance(some, str) else "\n".join(some) for axis, some in values.items()}
    return "".join(f' data-{axis}="{text(joined)}"' for axis, joined in names.items() if joined)


def counts(numbers: Mapping[str, int]) -> str:
    """A row of numbers with their names."""
    items = "".join(f"<li><strong>{number:,}</strong> {text(name)}</li>" for name, number in numbers.items())
    return f'<ul class="counts" aria-label="Runs by status">{items}</ul>'


def table(
    rows: Sequence[Sequence[object]],
    *,
    columns: Sequence[str],
    caption: str,
    num_keys: int = 1,
    tags: Sequence[Tags] | None = None,
) -> str:
    """A table whose first `num_keys` columns head their rows; scrolls by itself where it is wider than the page.

    Args:
        rows: cells, shown as text; None is shown as an en dash.
        columns: column headings with units.
        caption: what the table shows.
        num_keys: number of leading columns that are row headings.
        tags: what each row is about, for the page's filters; rows are always shown where it is left out.
    """
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "".join(
        f"<tr{_data(about)}>{''.join(_cell(i < num_keys, value) for i, value in enumerate(row))}</tr>"
        for row, about in zip(rows, [Tags()] * len(rows) if tags is None else tags, strict=True)
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(is_key: bool, value: object) -> str:
    shown = text("–" if value is None else value)
    return f'<th scope="row">{shown}</th>' if is_key else f"<td>{shown}</td>"


def definitions(pairs: Mapping[str, object]) -> str:
    """Names with their values."""
    return f"<dl>{''.join(f'<dt>{text(name)}</dt><dd>{text(value)}</dd>' for name, value in pairs.items())}</dl>"


def figure(picture: Picture, *, command: str) -> str:
    """The figure with its caption, the numbers behind it as a download, and the command that made it."""
    key = text(picture.name)
    variants = [{"from": width, **_bare(drawn)} for width, drawn in picture.variants]
    height = picture.variants[0][1].layout.height
    return (
        f'<figure id="figure-{key}"><div class="plot" role="img" aria-label="{text(picture.alt)}"'
        f' style="min-height:{int(height)}px" data-name="{key}"></div>'
        f'<script type="application/json" class="plot-data">{_script_json(variants)}</script>'
        f"<figcaption><p>{text(picture.caption)}</p>"
        f'<p class="tools">{_csv_link(picture)}'
        f'<button type="button" data-format="png">PNG</button><button type="button" data-format="svg">SVG</button>'
        f"<code>{text(command)}</code></p></figcaption></figure>"
    )


def _bare(drawn: go.Figure) -> dict[str, object]:
    """Data and layout without the template, which the page holds once and swaps for the dark one.

    Five significant digits are more than a screen shows and keep large reports small; the CSV has them all.
    """
    content = json.loads(pio.to_json(drawn, validate=False), parse_float=lambda digits: float(f"{float(digits):.5g}"))
    content["layout"].pop("template", None)
    return {"data": content["data"], "layout": content["layout"]}


def _csv_link(picture: Picture) -> str:
    data = picture.csv().encode()
    file = f"{picture.name}.csv"
    if len(data) > _LARGEST_EMBEDDED_CSV:
        return f'<a href="figures/{text(file)}">CSV (beside this page)</a>'
    encoded = base64.b64encode(data).decode()
    return f'<a download="{text(file)}" href="data:text/csv;charset=utf-8;base64,{encoded}">CSV</a>'


def _script_json(value: object) -> str:
    # "<" would let data end the script element; the escape means the same in JSON.
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def whole(*, title: str, question: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as one self-contained document: no network, no other file.

    Args:
        title, question: plain text.
        lead: HTML below the question.
        sections: in reading order.
    """
    links = "".join(f'<li><a href="#{text(part.key)}">{text(part.title)}</a></li>' for part in sections)
    bodies = "".join(
        f'<section id="{text(part.key)}" aria-labelledby="{text(part.key)}-title">'
        f'<h2 id="{text(part.key)}-title">{text(part.title)}</h2>{part.body}</section>'
        for part in sections
    )
    themes = {
        "light": {"template": style.template(), "colours": {}},
        "dark": {"template": style.template(dark=True), "colours": style.DARK_COLOURS},
    }
    return Template(_asset("page.html")).substitute(
        generator=text(GENERATOR),
        title=text(title),
        question=text(question),
        lead=lead,
        links=links,
        sections=bodies,
        style=_asset("report.css"),
        plotly=get_plotlyjs(),
        themes=_script_json(themes),
        script=_asset("report.js"),
    )


def _asset(name: str) -> str:
    return (resources.files("analysis") / "assets" / name).read_text(encoding="utf-8")
