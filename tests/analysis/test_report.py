import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest

from analysis import images
from analysis.report import write_report
from study.errors import UserError

COMMAND = ["study", "report", "--out", "my results", "--to", "page"]
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Outline(HTMLParser):
    """Elements in order, whether every one was closed, and the text outside scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.stack, self.attributes, self.text = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(autouse=True, scope="module")
def no_browser():
    """Images have tests of their own and cost seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "write", lambda jobs: "no browser here")
        yield


@pytest.fixture(scope="module")
def page(study_ledger, tmp_path_factory):
    return write_report(study_ledger, str(tmp_path_factory.mktemp("report") / "page"), COMMAND)


def test_page_is_one_offline_document(page):
    html = page.read_text(encoding="utf-8")
    outline = Outline(html)
    assert outline.stack == []
    for tag in ("main", "nav", "header", "h1", "figure", "figcaption", "table", "caption"):
        assert tag in outline.tags
    assert outline.tags.count("h1") == 1
    links = [value for name, value in outline.attributes if name in ("src", "href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert html.count("plotly.js v") <= 2  # embedded once (the library names itself in its banner)
    assert page.stat().st_size < 8_000_000


def test_page_says_what_the_numbers_say(page):
    text = " ".join(" ".join(Outline(page.read_text(encoding="utf-8")).text).split())
    assert "Does language pretraining help a frozen transformer on other modalities?" in text
    assert "On bit-xor under fpt, language beats random by" in text
    assert "103 done" in text and "1 diverged" in text and "1 failed" in text and "3 missing" in text
    assert "study report --out 'my results' --to page" in text
    assert "t interval" in text
    assert "no PNG and SVG files were written (no browser here)" in text


def test_text_from_data_is_never_markup(page, synthetic):
    html = page.read_text(encoding="utf-8")
    assert synthetic.HOSTILE not in html
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_hostile_names_stay_text(synthetic, tmp_path):
    name = "checkpoint:</script><b>x"
    rows = [synthetic.run(accuracy=0.9, seed=seed) for seed in (0, 1)]
    rows += [row | {"init": name, "size": None, "run_id": row["run_id"][::-1]} for row in rows]
    page = write_report(synthetic.write(tmp_path / "out", rows), str(tmp_path / "page"), ["</script>"])
    html = page.read_text(encoding="utf-8")
    assert Outline(html).stack == []
    assert "</script><b>x" not in html


def test_files_beside_the_page(page):
    figures = page.parent / "figures"
    names = {path.name for path in figures.iterdir()}
    stems = ("accuracy", "claims-1-1", "comparisons", "convergence", "curves")
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("csv", "html")} | {"plotly.min.js"}
    table = pd.read_csv(figures / "accuracy.csv")
    assert len(table) == 36
    row = table[(table.task == "bit-xor") & (table.init == "random") & (table.train_set == "full")].iloc[0]
    assert (row.num_done, row.num_diverged) == (2, 1)
    assert len(row.seed_accuracies.split(";")) == 2
    assert "my results" in (figures / "accuracy.html").read_text(encoding="utf-8")
    assert [path.name for path in page.parent.iterdir() if path.name.startswith(".")] == []


def test_report_replaces_an_earlier_one_leaves_other_files_and_is_reproducible(page, study_ledger, tmp_path):
    folder = tmp_path / "page"
    shutil.copytree(page.parent, folder)
    (folder / "figures" / "stale.csv").write_text("old")
    (folder / "notes.txt").write_text("mine")
    (folder / "index.html").write_text(page.read_text(encoding="utf-8").replace("bit-xor", "old"), encoding="utf-8")
    write_report(study_ledger, str(folder), COMMAND)
    assert (folder / "index.html").read_bytes() == page.read_bytes()
    assert not (folder / "figures" / "stale.csv").exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_foreign_folder_is_refused_and_left_alone(study_ledger, tmp_path):
    (tmp_path / "index.html").write_text("<h1>my home page</h1>")
    with pytest.raises(UserError, match="holds other files") as error:
        write_report(study_ledger, str(tmp_path), COMMAND)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize("below", ["", "page"])
def test_file_in_the_way_is_refused(study_ledger, tmp_path, below):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file"):
        write_report(study_ledger, str(tmp_path / "file" / below), COMMAND)


def test_nothing_is_written_without_a_ledger(tmp_path):
    with pytest.raises(UserError, match="no ledger"):
        write_report(str(tmp_path / "nowhere"), str(tmp_path / "page"), COMMAND)
    assert not (tmp_path / "page").exists()


def test_one_run_alone_makes_a_report(synthetic, tmp_path):
    page = write_report(
        synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)]), str(tmp_path / "page"), COMMAND
    )
    text = " ".join(Outline(page.read_text(encoding="utf-8")).text)
    assert "nothing to compare" in text
    assert "one seed: no interval" in text


def test_only_failed_runs_make_a_report(synthetic, tmp_path):
    rows = [synthetic.run(status="failed", error="no such file: train.bin", seed=seed) for seed in (0, 1)]
    page = write_report(synthetic.write(tmp_path / "out", rows), str(tmp_path / "page"), COMMAND)
    assert "no such file: train.bin" in page.read_text(encoding="utf-8")


def test_settings_are_told_apart(synthetic, tmp_path):
    rows = [
        synthetic.run(accuracy=0.5 + 0.1 * layers, num_layers=layers, init=init, seed=seed)
        for layers in (1, 2)
        for init in ("language", "random")
        for seed in (0, 1)
    ]
    page = write_report(synthetic.write(tmp_path / "out", rows), str(tmp_path / "page"), COMMAND)
    assert "num_layers 2" in " ".join(Outline(page.read_text(encoding="utf-8")).text)
    first, second = (pd.read_csv(page.parent / "figures" / name) for name in ("accuracy.csv", "accuracy-2.csv"))
    assert first["mean"].unique() == pytest.approx([0.6])
    assert second["mean"].unique() == pytest.approx([0.7])
