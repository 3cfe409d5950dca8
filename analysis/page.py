"""Pieces of the HTML page. Everything that may come from data is escaped here, in one place."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import plotly.io as pio

from analysis.pictures import Picture

GENERATOR = "fpt-study report"
"""Content of the page's generator tag, by which a later report knows the folder as its own."""
_LARGEST_EMBEDDED_CSV = 100_000  # bytes; larger tables are only beside the page
_LONG = 8  # entries from which an array that several forms share is written once


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


def bullets(items: Sequence[str], *, tags: Sequence[Tags] | None = None) -> str:
    """A list of plain texts; nothing where there is none. Tags as for `table`."""
    about = [Tags()] * len(items) if tags is None else tags
    lines = "".join(f"<li{_data(what)}>{text(item)}</li>" for item, what in zip(items, about, strict=True))
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
    """The figure with its caption, the numbers behind it as a download, and the command that made it.

    It is drawn when the reader comes near it, so the page knows the heights of its forms beforehand.
    """
    key = text(picture.name)
    forms = [[width, int(drawn["layout"]["height"])] for width, drawn in picture.variants]
    return (
        f'<figure id="figure-{key}"><div class="plot" role="img" aria-label="{text(picture.alt)}"'
        f' style="min-height:{forms[0][1]}px" data-name="{key}" data-forms="{text(json.dumps(forms))}"></div>'
        f'<script type="application/json" class="plot-data">{script_json(_variants(picture))}</script>'
        f"<figcaption><p>{text(picture.caption)}</p>"
        f'<p class="tools">{_csv_link(picture)}'
        f'<button type="button" data-format="png">PNG</button><button type="button" data-format="svg">SVG</button>'
        f"<code>{text(command)}</code></p></figcaption></figure>"
    )


def _variants(picture: Picture) -> dict[str, object]:
    """Every form of a figure as {"from", "data", "layout"}; the long arrays that they share stand once, under "arrays".

    Of the template, which the page holds once and swaps for the dark one, nothing is kept. Five significant digits are
    more than a screen shows; the CSV has them all.
    """
    arrays: dict[str, int] = {}
    variants = []
    for width, drawn in picture.variants:
        content = json.loads(
            pio.to_json(drawn, validate=False), parse_float=lambda digits: float(f"{float(digits):.5g}")
        )
        content["layout"].pop("template", None)
        variants.append({"from": width, "data": _shared(content["data"], arrays), "layout": content["layout"]})
    return {"arrays": [json.loads(array) for array in arrays], "variants": variants}


def _shared(value: Any, arrays: dict[str, int]) -> Any:
    """The value with every long array replaced by {"$": its place in `arrays`}, where it is put unless it is there."""
    if isinstance(value, dict):
        return {name: _shared(inner, arrays) for name, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) < _LONG or any(isinstance(item, dict | list) for item in value):
        return [_shared(item, arrays) for item in value]
    written = json.dumps(value)
    # The page recolours what stands in the forms themselves, so colours stay there.
    return value if "#" in written else {"$": arrays.setdefault(written, len(arrays))}


def _csv_link(picture: Picture) -> str:
    data = picture.csv().encode()
    file = f"{picture.name}.csv"
    if len(data) > _LARGEST_EMBEDDED_CSV:
        return f'<a href="figures/{text(file)}">CSV (beside this page)</a>'
    encoded = base64.b64encode(data).decode()
    return f'<a download="{text(file)}" href="data:text/csv;charset=utf-8;base64,{encoded}">CSV</a>'


def script_json(value: object) -> str:
    """JSON for a script element: "<" would let data end it; the escape means the same."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
