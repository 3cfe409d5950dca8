"""Gaps and learning curves of the ladders, by structure."""

import numpy as np
import pandas as pd
import pytest

from analysis import overfitting, overfitting_curves
from analysis.axes import find
from analysis.load import Frames


@pytest.fixture(scope="module")
def frames(ladders) -> Frames:
    rows = ladders.rows("scaling-data-small")
    curves = pd.DataFrame(ladders.curves(rows))
    return Frames("made", pd.DataFrame(rows), curves, pd.DataFrame())


def test_the_gap_is_that_of_the_runs_with_its_interval_over_seeds(frames):
    gaps = overfitting.table(find(frames.runs))
    assert len(gaps) == 24 and (gaps["num_seeds"] == 3).all() and set(gaps["axis"]) == {"data"}
    row = gaps[(gaps["init"] == "random") & (gaps["train_set"] == "full")].iloc[0]
    runs = frames.runs[(frames.runs["init"] == "random") & (frames.runs["train_set"] == "full")]
    own = runs[runs["num_train_examples"] == 32]
    assert row["rung"] == "32" and row["gap"] == pytest.approx((own["train_accuracy"] - own["test_accuracy"]).mean())
    assert row["low"] < row["gap"] < row["high"] and row["selected_step"] == 200


def test_runs_that_are_not_done_take_no_part(frames):
    lost = frames.runs.assign(status=np.where(frames.runs["seed"] == 0, "diverged", "done"))
    assert (overfitting.table(find(lost))["num_seeds"] == 2).all()
    assert overfitting.table([]).empty


def test_a_panel_per_ladder_with_a_line_at_no_gap(frames):
    figure = overfitting.draw(overfitting.table(find(frames.runs)))
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["<b>Training examples · fpt</b>", "<b>Training examples · full</b>"]
    marks = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [trace.marker.symbol for trace in marks] == ["circle", "diamond", "circle-open", "diamond-open"]
    assert all(len(trace.error_y.array) == 6 and "3 seeds" in trace.customdata[0] for trace in marks)
    assert figure.layout.xaxis.title.text == "training examples" and figure.layout.xaxis.type == "log"
    assert [trace.name for trace in figure.data if trace.showlegend] == ["no gap", "language", "random"]


def test_learning_curves_of_the_fewest_and_the_most_examples_with_the_early_stop(frames):
    curves = overfitting.learning(frames, find(frames.runs))
    assert set(curves["examples"]) == {32, 1024} and (curves["num_seeds"] == 3).all()
    figure = overfitting_curves.draw(curves)
    assert len([note for note in figure.layout.annotations if "examples" in note.text]) == 4
    stops = [trace for trace in figure.data if trace.mode == "markers" and trace.x[0] is not None]
    assert len(stops) == 8 and {trace.x[0] for trace in stops} == {200.0}
    dashes = {trace.line.dash for trace in figure.data if trace.name == "random" and trace.mode == "lines"}
    assert dashes == {"solid", "dot"} and "chance" in {trace.name for trace in figure.data}
