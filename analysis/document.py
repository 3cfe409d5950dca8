"""The report's one HTML document: sections, their table of contents, and the filters over what is tagged in them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from importlib import resources
from string import Template

from plotly.offline import get_plotlyjs

from analysis import load, page, style
from analysis.page import Section, script_json, text

AXES = ("task", "protocol", "scale")
"""Axes of the filters, in the order in which they are offered."""
_MOST_HEADINGS = 14
"""Headings of one section in the table of contents; a section of more would drown the others."""
_MARKS = re.compile(r"<details\b[^>]*>|</details>|<h3>(.*?)</h3>", re.DOTALL)
_TAGS = re.compile(r' data-(task|protocol|scale)="([^"]*)"')


def whole(*, title: str, question: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as one self-contained document: no network, no other file.

    Args:
        title, question: plain text.
        lead: HTML below the question.
        sections: in reading order.
    """
    bodies, links = "", ""
    for section in sections:
        body, headings = _anchored(section)
        key = text(section.key)
        below = "".join(_link(name, label) for name, label in headings[:_MOST_HEADINGS])
        links += f'<li><a href="#{key}">{text(section.title)}</a>{f"<ul>{below}</ul>" if below else ""}</li>'
        bodies += (
            f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{text(section.title)}</h2>'
            f"{body}</section>"
        )
    themes = {
        "light": {"template": style.template(), "colours": {}},
        "dark": {"template": style.template(dark=True), "colours": style.DARK_COLOURS},
    }
    return Template(_asset("page.html")).substitute(
        generator=text(page.GENERATOR),
        title=text(title),
        question=text(question),
        lead=lead,
        links=links,
        filters=_filters(bodies),
        sections=bodies,
        style=_asset("report.css"),
        plotly=get_plotlyjs(),
        themes=script_json(themes),
        script=_asset("report.js"),
    )


def _anchored(section: Section) -> tuple[str, list[tuple[str, str]]]:
    """The body with an id on every heading outside a fold, and those ids with their headings (HTML)."""
    depth, headings = 0, []

    def mark(found: re.Match[str]) -> str:
        nonlocal depth
        if found[1] is None:
            depth += -1 if found[0] == "</details>" else 1
        elif depth == 0:
            headings.append((f"{section.key}-{len(headings) + 1}", found[1]))
            return f'<h3 id="{text(headings[-1][0])}">{found[1]}</h3>'
        return found[0]

    return _MARKS.sub(mark, section.body), headings


def _link(key: str, label: str) -> str:
    return f'<li><a href="#{text(key)}">{label}</a></li>'


def _filters(bodies: str) -> str:
    """A choice for each axis on which the page has several values, each of which something is about alone."""
    found: dict[str, set[str]] = {axis: set() for axis in AXES}
    for axis, values in _TAGS.findall(bodies):
        if "\n" not in values:
            found[axis].add(html.unescape(values))
    return "".join(_choice(axis, _ordered(axis, values)) for axis, values in found.items() if len(values) > 1)


def _choice(axis: str, values: list[str]) -> str:
    options = "".join(f'<option value="{text(value)}">{text(value)}</option>' for value in values)
    return (
        f'<span class="choice"><label for="filter-{axis}">{axis}</label> <select id="filter-{axis}" name="{axis}">'
        f'<option value="">all</option>{options}</select></span>'
    )


def _ordered(axis: str, values: set[str]) -> list[str]:
    return load.order("task", values) if axis == "task" else sorted(values)


def _asset(name: str) -> str:
    return (resources.files("analysis") / "assets" / name).read_text(encoding="utf-8")
