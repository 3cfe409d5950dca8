"""The frame of the report on a thousand runs of the papers' grids: what is drawn, what is folded, what is told."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from analysis import background, curves, general, images, load, report, sections

MAKER = Path(__file__).parents[2] / "benchmarks" / "paper_ledger.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A ledger of 1,000 runs of the small tables."""
    spec = importlib.util.spec_from_file_location("paper_ledger", MAKER)
    paper_ledger = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = paper_ledger
    spec.loader.exec_module(paper_ledger)
    runs = paper_ledger.specs(1000, ["paper-small"])
    return paper_ledger.make(tmp_path_factory.mktemp("large") / "out", runs, num_points=8)


@pytest.fixture(scope="module")
def data(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "MOST_SETTINGS", 4)
        patch.setattr(sections, "OPEN_SETTINGS", 1)
        data = sections.tables(load.load(made), command="study report")
        assert data.settings
        yield data


@pytest.fixture(scope="module")
def accuracy(data):
    return general.test_accuracy(data)


def test_what_is_not_drawn_is_counted_and_listed(data, accuracy):
    num_settings = data.frames.runs["setting"].nunique()
    assert len(accuracy.pictures) == 4 < num_settings
    assert f"{num_settings - 4} further settings not drawn here" in accuracy.section.body
    listed = re.search(r"<caption>Settings that are not drawn: (\d+) of", accuracy.section.body)
    assert listed and int(listed[1]) == num_settings - 4
    assert accuracy.section.body.count("<summary>protocol ") == 3  # folded, all but the first


def test_the_largest_settings_are_drawn(data):
    num = data.frames.runs["setting"].value_counts()
    assert data.settings[0] == num.index[0]
    assert num[data.settings].min() >= num.drop(data.settings).median()


def test_no_cell_is_lost(data, accuracy):
    cells = data.cells[data.cells[["num_done", "num_diverged", "num_failed", "num_missing"]].sum(axis=1) > 0]
    assert cells[["num_done", "num_diverged", "num_failed"]].to_numpy().sum() == len(data.frames.runs)
    assert cells["num_missing"].sum() == len(data.frames.missing)
    (csv,) = accuracy.files.values()
    assert csv.count("\n") == 1 + len(data.cells)


def test_figures_stay_readable(accuracy):
    for picture in accuracy.pictures:
        labels = picture.variants[0][1].layout.xaxis.ticktext
        assert len(labels) <= general.MOST_TRAIN_SETS and "fpt" in labels
        assert picture.table["train_set"].nunique() >= len(labels)


def test_curves_are_thinned_for_the_eye_only(data):
    some = data.curves[data.curves["setting"] == data.settings[0]]
    thin = curves.thinned(some, most=4)
    key = [*load.CELL, "status", "seed"]
    num = thin.groupby(key, dropna=False)["step"].agg(["size", "max"])
    assert num["size"].between(2, 5).all()
    assert (num["max"] == some.groupby(key, dropna=False)["step"].max()).all()
    assert curves.thinned(some, most=8).equals(some)


def test_reasons_and_cost_by_table(data):
    gaps = background.lacking(data).section.body
    num_failed = int((data.frames.runs["status"] == "failed").sum())
    assert f"<td>CUDA out of memory</td><td>{num_failed}</td>" in gaps
    cost = background.costs(data).section.body
    row = re.search(r'<th scope="row">all runs, each once</th><td>–</td><td>(\d+)</td>.*?</tr>', cost)
    assert row and int(row[1]) == (data.frames.runs["status"] == "done").sum()
    assert "T1 · FPT against full training and a full LSTM</th><td>small</td>" in cost
    hours = data.frames.runs["wall_seconds"].sum() / 3600
    assert f"<td>{hours:,.2f}</td><td>0.00</td>" in row[0]  # the ledger says that a GPU trained them


def test_sections_without_anything_to_say_are_left_out(made, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "write", lambda jobs: "not part of this test")
    monkeypatch.setattr(report, "PARTS", (lambda data: None, background.lacking))
    html = report.write_report(made, str(tmp_path / "page"), ["study"]).read_text(encoding="utf-8")
    assert html.count("<section ") == 1
    assert set(re.findall(r'<select id="filter-(\w+)"', html)) == {"task"}
