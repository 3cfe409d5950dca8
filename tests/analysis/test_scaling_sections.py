"""The pages on scaling, overfitting and efficiency: made of the ladders of a ledger, absent without one."""

import pytest

from analysis import efficiency_section, load, overfitting_section, scaling, scaling_section, sections

PAGES = (scaling_section.scaling_ladders, overfitting_section.overfits, efficiency_section.compute_efficiency)


@pytest.fixture(scope="module")
def data(synthetic, ladders, tmp_path_factory) -> sections.Tables:
    rows = [row for row in ladders.rows("scaling-data-small") if row["num_train_examples"] < 500]
    lost = rows[0] | {"status": "failed", "error": "out of memory"}
    out = synthetic.write(tmp_path_factory.mktemp("ladders") / "out", [lost, *rows[1:]], ladders.curves(rows[1:]))
    return sections.tables(load.load(out), command="study report --out OUT --to DIR")


def test_every_page_has_figures_with_captions_commands_and_csv_and_tables(data, monkeypatch):
    monkeypatch.setattr(scaling, "MOST_FITTED_RUNS", 20)
    names = []
    for page in PAGES:
        part = page(data)
        names += [picture.name for picture in part.pictures]
        assert part.section.body.count("<figure") == len(part.pictures) == part.section.body.count('data-format="png"')
        assert part.section.body.count("study report --out OUT --to DIR") == len(part.pictures)
        assert 'data-task="bit-memory"' in part.section.body and "<table>" in part.section.body
        assert all("seeds" in picture.caption or "runs" in picture.caption for picture in part.pictures)
        assert all(len(picture.csv().splitlines()) > 8 for picture in part.pictures)
    assert names == [
        "scaling-data-bit-memory", "overfitting-bit-memory", "overfitting-curves-bit-memory", "efficiency-bit-memory",
        "waiting-bit-memory",
    ]  # fmt: skip


def test_laws_and_refusals_stand_in_sentences(data, monkeypatch):
    monkeypatch.setattr(scaling, "MOST_FITTED_RUNS", 20)
    body = scaling_section.scaling_ladders(data).section.body
    assert "Ladders without a law: 3" in body and "do better than chance" in body and "not fitted here" in body
    assert "init language, train_set full: y = E + A x^-alpha with E" in body
    assert "study fit --out" in body


def test_a_ledger_without_a_ladder_has_none_of_these_pages(study_ledger):
    data = sections.tables(load.load(study_ledger), command="study report")
    assert [page(data) for page in PAGES] == [None, None, None]
