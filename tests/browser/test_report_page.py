"""The report as a reader meets it: opened from disk in a headless Chromium."""

import importlib.util
import itertools
import shutil
from pathlib import Path

import pytest

from analysis import images
from analysis.report import write_report

CHROME = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LOCAL = ("file:", "data:", "blob:")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
DRAWN = """figures => figures.map(figure => ({
    traces: figure.data.filter(trace => trace.visible !== false).length,
    marks: figure.querySelectorAll('.trace, .points path, .js-line').length,
    width: figure.querySelector('.main-svg').clientWidth,
    room: figure.clientWidth,
}))"""

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


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    out = made_up("synthetic").study(folder / "out")
    made_up("synthetic_cards").bodies(out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "write", lambda jobs: "not part of this test")
        return write_report(out, str(folder / "page"), ["study", "report"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        profile = str(tmp_path_factory.mktemp("profile"))
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROME, args=FLAGS, headless=True, accept_downloads=True
        )
        yield context
        context.close()


@pytest.fixture
def opened(browser, report):
    """Opens the report; fails at the end on any console message, page error or request that leaves the machine."""
    complaints, pages = [], []

    def open_page(viewport, **media):
        page = browser.new_page()
        pages.append(page)
        page.set_viewport_size(viewport)
        page.emulate_media(**media)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on(
            "request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else complaints.append(r.url)
        )
        page.on("dialog", lambda d: (complaints.append(d.message), d.dismiss()))
        page.goto(report.as_uri())
        until(page, "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_fits(opened, viewport, scheme):
    page = opened(viewport, color_scheme=scheme)
    figures = page.eval_on_selector_all(".js-plotly-plot", DRAWN)
    assert len(figures) == page.locator("figure").count() == 6
    for figure in figures:
        assert figure["traces"] > 0 and figure["marks"] > 0
        assert 0 < figure["width"] <= figure["room"] + 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.title() == "Frozen pretrained transformers"


def test_figures_follow_the_width(opened):
    page = opened(DESKTOP)
    axes = "Object.entries(document.querySelector('.plot').layout).filter(([name]) => name.startsWith('xaxis'))"
    columns = f"new Set({axes}.map(([, axis]) => axis.domain[0])).size"
    assert page.evaluate(columns) == 4
    page.set_viewport_size(PHONE)
    until(page, f"{columns} === 1")


def test_colours_follow_the_scheme(opened):
    page = opened(DESKTOP, color_scheme="light")
    ink = "document.querySelector('.plot').layout.template.layout.font.color"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    until(page, f"{ink} !== '{light}'")


def test_csv_and_svg_can_be_downloaded(opened, tmp_path):
    page = opened(DESKTOP)
    with page.expect_download() as download:
        page.locator("figure").first.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith("task,train_set,init,mean,low,high")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download this figure as SVG").first.click()
    download.value.save_as(tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_usable_with_keyboard_and_screen_reader(opened):
    page = opened(DESKTOP)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for landmark in ("main", "navigation", "banner"):
        assert page.get_by_role(landmark).count() == 1
    plots = page.locator(".plot")
    assert all(plots.nth(i).get_attribute("aria-label") for i in range(plots.count()))
    assert page.locator("table").count() == page.locator("table > caption").count() > 0
    page.get_by_text("Every card in full").click()
    page.get_by_text("language, gpt2 nano: gpt2-nano-language-0").click()
    assert page.get_by_text("CPython documentation").last.is_visible()
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_print_fits_the_paper(opened):
    page = opened(DESKTOP, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    widths = page.eval_on_selector_all(".plot .main-svg", "all => all.map(svg => svg.clientWidth)")
    assert max(widths) <= 680
    assert page.evaluate("document.querySelector('.plot').layout.template.layout.paper_bgcolor") == "#ffffff"
