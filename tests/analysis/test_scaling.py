"""The scaling table and its figures, by structure: laws where the data carry one, marks and a reason where not."""

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis import scaling, scaling_pairs
from analysis.axes import AXES, find
from analysis.estimates import Estimate
from analysis.scaling_figure import ticks


@pytest.fixture(scope="module")
def laws(ladders) -> list[scaling.Law]:
    frame = ladders.runs("scaling-size-small")
    return scaling.laws(find(frame[frame["init"] != "statistics"]))


@pytest.fixture(scope="module")
def table(laws) -> pd.DataFrame:
    return scaling.rows(laws)


def test_laws_hold_the_truth_and_what_is_at_chance_has_none(laws, ladders):
    for law in laws:
        if law.series.train_set == "fpt":
            assert (law.short, law.found.reason.value) == ("at chance", "at chance")
            continue
        assert isinstance(law.found, Estimate) and law.largest is not None
        for name, truth in (("alpha", ladders.EXPONENT), ("E", ladders.FLOOR)):
            interval = law.found.intervals[name]
            assert interval.low <= truth[law.series.init] <= interval.high
        assert "y = E + A x^-alpha with E " in law.sentence and "largest rung predicted from the others" in law.sentence


def test_the_table_holds_everything_that_is_drawn(table):
    rungs = table[table["kind"] == "rung"]
    assert len(rungs) == 24 and (rungs["num_seeds"] == 3).all() and (rungs["floor"] == 0.25).all()
    assert rungs.loc[rungs["init"] == "random", "rung"].tolist()[:6] == [
        "1x32",
        "1x64",
        "2x64",
        "2x96",
        "2x128",
        "nano",
    ]
    assert (rungs["low"] < rungs["mean"]).all() and (rungs["mean"] < rungs["high"]).all()
    curves = table[table["kind"] == "curve"]
    assert set(curves["train_set"]) == {"full"} and (curves["low"] < curves["high"]).all()
    fits = table[table["kind"] == "fit"].set_index(["train_set", "init"])
    assert fits.loc[("full", "random"), "note"] == "" and fits.loc[("fpt", "random"), "form"] == "power-floor"
    assert fits["sentence"].str.len().min() > 20


def traces(figure: go.Figure, panel: int, mode: str) -> list[go.Scatter]:
    axis = "y" if panel == 0 else f"y{panel + 1}"
    return [trace for trace in figure.data if trace.yaxis == axis and trace.mode == mode]


def test_a_panel_per_train_set_with_marks_laws_bands_and_levels(table):
    figure = scaling.draw(table)
    frozen, whole = (traces(figure, panel, "markers") for panel in (0, 1))
    assert [trace.name for trace in frozen] == [trace.name for trace in whole] == ["language", "random"]
    assert [trace.marker.symbol for trace in frozen] == ["circle", "diamond"]
    assert [trace.marker.symbol for trace in whole] == ["circle-open", "diamond-open"]
    assert all(len(trace.x) == 6 and len(trace.error_y.array) == 6 for trace in (*frozen, *whole))
    lines = traces(figure, 1, "lines")
    assert [trace.name for trace in lines[:2]] == ["chance", "best trivial predictor"]
    assert [trace.fill for trace in lines[2:]] == ["toself", None] * 2
    assert {trace.line.dash for trace in lines[3::2]} == {"dash"}
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    assert figure.layout.xaxis.title.text == "parameters of the whole model"
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "chance", "best trivial predictor", "language", "random",
    ]  # fmt: skip


def test_a_refusal_shows_the_points_and_the_reason_and_no_law(table):
    figure = scaling.draw(table)
    assert [trace.name for trace in traces(figure, 0, "lines")] == ["chance", "best trivial predictor"]
    notes = [note.text for note in figure.layout.annotations if "no law" in note.text]
    assert notes == [f"{init}: no law, at chance" for init in ("random", "language")]
    assert {note.yref for note in figure.layout.annotations if "no law" in note.text} == {"y domain"}


def test_a_mean_of_zero_makes_the_axis_linear(table):
    rungs = table[table["kind"] == "rung"]
    figure = scaling.draw(rungs.assign(mean=rungs["mean"].where(rungs["rung"] != "nano", 0.0)))
    assert figure.layout.yaxis.type is None and figure.layout.yaxis.range[0] == 0


@pytest.mark.parametrize("axis", [axis for axis in AXES if axis.name != "size"], ids=lambda axis: axis.name)
def test_every_axis_is_drawn_with_its_unit(axis, monkeypatch, ladders):
    monkeypatch.setattr(scaling, "MOST_FITTED_RUNS", 0)
    table = scaling.table(ladders.runs(f"scaling-{axis.name}-small"))
    assert set(table["axis"]) == {axis.name} and set(table.loc[table["kind"] == "fit", "note"]) == {"not fitted"}
    figure = scaling.draw(table)
    assert figure.layout.xaxis.title.text == axis.x_title
    rungs = sorted(table.loc[table["kind"] == "rung", "x"].unique())
    assert (list(figure.layout.xaxis.tickvals) == rungs) == (axis.name in ("depth", "width", "data"))


def test_a_floor_at_zero_is_fitted_without_one(ladders):
    frame = ladders.runs("scaling-data-small")
    frame = frame[(frame["train_set"] == "full") & (frame["init"] == "random")]
    straight = 0.4 * frame["num_train_examples"].astype(float) ** -0.3
    bend = 1 + 0.02 * (frame["seed"] - 1) - 0.02 * (frame["num_train_examples"] > 600)
    (law,) = scaling.laws(find(frame.assign(test_accuracy=1 - straight * bend)))
    assert isinstance(law.found, Estimate) and law.found.fit.form.name == "power"
    assert law.found.intervals["alpha"].low <= 0.3 <= law.found.intervals["alpha"].high + 0.02


def test_random_bodies_need_more_of_the_same(laws):
    pairs = scaling_pairs.table(laws).set_index("other")
    assert list(pairs.index) == ["random"] and set(pairs["train_set"]) == {"full"}
    row = pairs.loc["random"]
    assert row["ratio_low"] <= 0.5 / 0.3 <= row["ratio_high"]
    assert row["factor"] is None or row["factor"] > 1
    assert "init random, train_set full needs more than" in row["sentence"]
    one_sided = [law for law in laws if law.series.init != "language"]
    assert scaling_pairs.table(one_sided).empty


def test_what_is_beyond_the_budget_is_drawn_and_told(laws, monkeypatch):
    monkeypatch.setattr(scaling, "MOST_FITTED_RUNS", 20)
    whole = [law.series for law in laws if law.series.train_set == "full"]
    again = scaling.laws(whole)
    assert [law.short for law in again] == ["", "not fitted"]
    assert "`study fit` does" in again[1].sentence


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((1.5e4, 8e5), [2e4, 5e4, 1e5, 2e5, 5e5]),
        ((1e3, 1e6), [1e3, 1e4, 1e5, 1e6]),
        ((3e5, 7e5), [3e5, 4e5, 5e5, 7e5]),
        ((0.21, 0.25), [0.21, 0.215, 0.22, 0.225, 0.23, 0.235, 0.24, 0.245, 0.25]),
        ((12.0, 12.0), [12.0]),
    ],
)
def test_ticks_are_as_close_as_it_takes(ends, expected):
    assert ticks(*ends) == pytest.approx(expected)
