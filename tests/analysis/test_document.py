import json
import re

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis import document, page
from analysis.page import Section
from analysis.pictures import Picture


def whole(*sections):
    return document.whole(title="t", question="q", lead="", sections=sections)


def options(html):
    found = re.findall(r'<select id="filter-\w+" name="(\w+)">(.*?)</select>', html)
    return {axis: re.findall(r'<option value="([^"]*)">', inner) for axis, inner in found}


def test_filters_offer_what_is_tagged_and_differs():
    tags: list[page.Tags] = [{"task": name, "scale": "small"} for name in ("my <own> task", "listops", "bit-xor")]
    rows = page.table([["x"]] * 3, columns=["c"], caption="k", tags=tags)
    # What runs under either protocol offers no choice between them.
    both = page.tagged("<p>a</p>", task=["listops", "bit-xor"], protocol=["fixed", "paper"])
    found = options(whole(Section("s", "S", rows + both + page.tagged("b", protocol="fixed"))))
    assert found == {"task": ["", "bit-xor", "listops", "my &lt;own&gt; task"]}


def test_nothing_to_choose_leaves_the_filters_out():
    assert options(whole(Section("s", "S", page.tagged("a", task="bit-xor")))) == {}


def test_contents_nest_the_headings_outside_folds():
    body = (
        page.heading("One & all")
        + page.fold("more", page.heading("hidden") + page.fold("in", "x"))
        + page.heading("Two")
    )
    html = whole(Section("key", "Title", body))
    contents = html[html.index("<nav") : html.index("</nav>")]
    links = re.findall(r'<a href="#([^"]*)">([^<]*)</a>', contents)
    assert links == [("key", "Title"), ("key-1", "One &amp; all"), ("key-2", "Two")]
    assert '<h3 id="key-2">Two</h3>' in html and "<h3>hidden</h3>" in html


def test_tags_need_one_entry_for_each_row():
    with pytest.raises(ValueError, match="zip"):
        page.table([["x"], ["y"]], columns=["c"], caption="k", tags=[{"task": "a"}])


def test_forms_of_a_figure_share_their_long_arrays_and_keep_their_values():
    numbers = [0.1 * i for i in range(40)]
    colours = ["#0072B2"] * 40
    drawn = tuple(
        go.Figure(go.Scatter(x=numbers, y=[1, 2], marker={"color": colours}), layout={"height": 100 + width})
        for width in (900, 0)
    )
    picture = Picture("p", "c", "a", pd.DataFrame({"v": [1]}), ((900, drawn[0]), (0, drawn[1])))
    html = page.figure(picture, command="x")
    (data,) = re.findall(r'class="plot-data">(.*?)</script>', html)
    embedded = json.loads(data)
    assert len(embedded["arrays"]) == 1
    for variant in embedded["variants"]:
        (trace,) = variant["data"]
        assert embedded["arrays"][trace["x"]["$"]] == pytest.approx(numbers)
        assert trace["marker"]["color"] == colours  # stays where the page recolours it
        assert trace["y"] == [1, 2]
    assert 'data-forms="[[900, 1000], [0, 100]]"' in html
