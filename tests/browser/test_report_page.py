"""The report as a reader meets it: opened from disk in a headless Chromium."""

import importlib.util
import itertools
import shutil
from pathlib import Path

import pytest

from analysis import images
from analysis.report import write_report
from study.ledger import Ledger

CHROME = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LOCAL = ("file:", "data:", "blob:")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
DRAWN = """figures => figures.map(figure => ({
    traces: figure.data.filter(trace => trace.visible !== false).length,
    marks: figure.querySelectorAll('.trace, .points path, .js-line').length,
    width: figure.querySelector('.main-svg').clientWidth,
    room: figure.clientWidth,
}))"""

PLOT, ACCURACY = "document.querySelectorAll('.plot')[%d]", "document.querySelector('#figure-accuracy .plot')"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROME is None, reason="no chromium, google-chrome or chrome in PATH"),
]


def until(page, condition):
    """Wait for a JavaScript condition; the page's own security policy forbids Playwright's way of doing it."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {condition}")


def made_up(name):
    """A module of made-up results that the tests of the analysis use too."""
    source = Path(__file__).parents[1] / "analysis" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_for_browser", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ledger(folder):
    """The made-up study with its bodies, and listops of another protocol and another scale."""
    synthetic = made_up("synthetic")
    out = synthetic.study(folder)
    made_up("synthetic_cards").bodies(out)
    more = [
        synthetic.run("listops", accuracy=0.4 + 0.01 * seed, init=init, seed=seed, floor=0.36, **fields)
        for fields in ({"protocol": "paper"}, {"size": "base"})
        for init in ("language", "random")
        for seed in range(2)
    ]
    Ledger(out).append(more, [], "more")
    return out


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "write", lambda jobs: "not part of this test")
        return write_report(ledger(folder / "out"), str(folder / "page"), ["study", "report"])


@pytest.fixture(scope="module")
def opened(report, tmp_path_factory):
    """The report in a browser, once for all tests, and what it complained of."""
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright:
        profile = str(tmp_path_factory.mktemp("profile"))
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROME, args=FLAGS, headless=True, accept_downloads=True
        )
        page = context.pages[0]
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith(LOCAL) else complaints.append(r.url))
        page.on("dialog", lambda d: (complaints.append(d.message), d.dismiss()))
        page.goto(report.as_uri())
        yield page, complaints
        context.close()


@pytest.fixture
def page(opened):
    """The page as it is when it has just been opened, on a desktop; any complaint fails the test."""
    page, complaints = opened
    page.set_viewport_size(DESKTOP)
    page.emulate_media(media="screen", color_scheme="light")
    page.evaluate("location.hash = 'task='")  # no filter
    page.evaluate("document.querySelectorAll('main details').forEach(fold => { fold.open = false; })")
    page.evaluate("window.scrollTo(0, 0)")
    yield page
    assert complaints == []


def draw_all(page):
    """Unfold everything and scroll to each figure in turn, as a reader does who looks at all of them."""
    page.evaluate("document.querySelectorAll('main details').forEach(fold => { fold.open = true; })")
    for i in range(page.locator(".plot").count()):
        page.evaluate(f"document.querySelectorAll('.plot')[{i}].scrollIntoView()")
        until(page, f"document.querySelectorAll('.plot')[{i}].querySelector('.main-svg')")


def shown(page, selector):
    return page.eval_on_selector_all(selector, "all => all.filter(one => one.checkVisibility()).length")


def test_figures_are_drawn_when_they_are_reached_and_fit_everywhere(page):
    assert not page.evaluate("[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))")
    draw_all(page)
    for viewport, scheme in ((DESKTOP, "light"), (PHONE, "dark")):
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=scheme)
        for i in range(page.locator("figure").count()):
            page.evaluate(f"document.querySelectorAll('.plot')[{i}].scrollIntoView()")
            until(page, f"(plot => plot.querySelector('.main-svg').clientWidth <= plot.clientWidth + 1)({PLOT % i})")
        figures = page.eval_on_selector_all(".js-plotly-plot", DRAWN)
        assert len(figures) == page.locator("figure").count() > 6
        assert all(figure["traces"] > 0 and figure["marks"] > 0 and figure["width"] > 0 for figure in figures)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.title() == "Frozen pretrained transformers"


def test_figures_follow_width_and_scheme(page):
    page.evaluate(f"{ACCURACY}.scrollIntoView()")
    columns = (
        f"new Set(Object.entries({ACCURACY}.layout ?? {{}}).filter(([name]) => name.startsWith('xaxis'))"
        ".map(([, axis]) => axis.domain[0])).size"
    )
    until(page, f"{columns} > 1")
    ink = f"{ACCURACY}.layout.template.layout.font.color"
    light = page.evaluate(ink)
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    page.evaluate(f"{ACCURACY}.scrollIntoView()")
    until(page, f"{columns} === 1 && {ink} !== '{light}'")


def test_csv_and_svg_can_be_downloaded(page, tmp_path):
    figure = page.locator("#figure-accuracy")
    with page.expect_download() as download:
        figure.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("task,train_set,init,mean,low,high")
    with page.expect_download() as download:
        figure.get_by_role("button", name="Download this figure as SVG").click()
    download.value.save_as(tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_usable_with_keyboard_and_screen_reader(page, report):
    page.goto("about:blank")
    page.goto(report.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "task"
    for landmark in ("main", "navigation", "banner", "form"):
        assert page.get_by_role(landmark).count() == 1
    plots = page.locator(".plot")
    assert all(plots.nth(i).get_attribute("aria-label") for i in range(plots.count()))
    assert page.locator("table").count() == page.locator("table > caption").count() > 0
    page.get_by_role("button", name="Open every fold").click()
    assert page.get_by_text("CPython documentation").last.is_visible()
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_filters_show_what_was_chosen_and_say_what_they_hide(page):
    rows = "#gaps tbody tr"
    everything = shown(page, rows)
    page.get_by_label("task", exact=True).select_option("digits")
    assert 0 < shown(page, rows) < everything
    assert "task=digits" in page.url
    status = page.get_by_role("status").inner_text()
    assert status.startswith("Shown: digits; hidden: ") and "lines" in status
    # Nothing about listops at scale full was run under the paper's protocol: sections say so, none breaks.
    page.get_by_label("task", exact=True).select_option("listops")
    page.get_by_label("protocol", exact=True).select_option("paper")
    page.get_by_label("scale", exact=True).select_option("full")
    assert page.get_by_text("Nothing in this section is about listops · paper · full.").first.is_visible()
    assert shown(page, "#curves figure") == 0
    page.evaluate("location.hash = '#curves'")  # a link of the contents keeps the choice
    until(page, "location.hash.includes('at=curves') && location.hash.includes('scale=full')")
    page.evaluate("location.hash = 'task=listops&scale=small'")
    until(page, "document.querySelector('select[name=protocol]').value === ''")
    page.locator("#accuracy figure").first.scroll_into_view_if_needed()
    until(page, "document.querySelector('#accuracy .plot .main-svg')?.clientWidth > 300")


def test_print_shows_what_is_chosen_and_fits_the_paper(page):
    page.evaluate("location.hash = 'task=digits'")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    widths = page.eval_on_selector_all(".plot .main-svg", "all => all.map(svg => svg.clientWidth)")
    assert 0 < max(widths) <= 680
    drawn = "document.querySelector('#accuracy .plot')"
    assert page.evaluate(f"{drawn}.layout.template.layout.paper_bgcolor") == "#ffffff"
    assert page.get_by_text("Shown: digits").is_visible() and shown(page, "nav") == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
