"""Cost, frontier and waiting times of the ladders' variants."""

import numpy as np
import pandas as pd
import pytest

from analysis import efficiency, waiting
from analysis.axes import find
from analysis.load import Frames


@pytest.fixture(scope="module")
def frames(ladders) -> Frames:
    rows = [row for row in ladders.rows("scaling-compute-small") if row["train_set"] == "full"]
    return Frames("made", pd.DataFrame(rows), pd.DataFrame(ladders.curves(rows)), pd.DataFrame())


@pytest.fixture(scope="module")
def costs(frames) -> pd.DataFrame:
    return efficiency.table(find(frames.runs))


def test_a_variant_has_its_accuracy_cost_and_price_of_a_point(frames, costs):
    assert len(costs) == 10 and (costs["num_seeds"] == 3).all()
    row = costs[(costs["init"] == "random") & (costs["num_steps"] == 400)].iloc[0]
    runs = frames.runs[(frames.runs["init"] == "random") & (frames.runs["num_steps"] == 400)]
    assert row["accuracy"] == pytest.approx(runs["test_accuracy"].mean())
    prices = runs["train_flops"] / (100 * (runs["test_accuracy"] - 0.75))
    assert row["flops_per_point"] == pytest.approx(np.exp(np.log(prices).mean()))
    assert row["flops_per_point_low"] < row["flops_per_point"] < row["flops_per_point_high"]


def test_nothing_is_paid_for_points_that_are_not_there(frames):
    poor = frames.runs.assign(test_accuracy=0.7501)
    assert efficiency.table(find(poor))["flops_per_point"].isna().all()


def test_the_frontier_holds_what_nothing_beats():
    cost, accuracy = np.array([3.0, 1.0, 2.0, 2.0, 4.0]), np.array([0.8, 0.5, 0.7, 0.9, 0.9])
    assert efficiency.frontier(cost, accuracy).tolist() == [False, True, False, True, False]


def test_accuracy_is_drawn_against_operations_and_time(costs):
    figure = efficiency.draw(costs)
    assert [figure.layout.xaxis.title.text, figure.layout.xaxis2.title.text] == list(efficiency.COSTS.values())
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert names == ["chance", "best trivial predictor", "Pareto frontier", "language", "random"]
    line = next(trace for trace in figure.data if trace.name == "Pareto frontier")
    assert list(line.y) == sorted(line.y) and line.line.shape == "hv"


def test_waiting_counts_runs_that_ended_before(frames, monkeypatch):
    monkeypatch.setattr(waiting, "SHARE", 0.9)
    rows = waiting.table(frames, find(frames.runs))
    first = rows.drop_duplicates(["init", "clock"]).set_index(["init", "clock"])
    assert set(rows["clock"]) == {"step", "train_flops", "wall_seconds"} and (first["num_runs"] == 15).all()
    level = float(rows["level"].iloc[0])
    best = frames.runs.groupby(["init", "num_steps"])["best_valid_accuracy"].mean().max()
    assert level == pytest.approx(0.75 + 0.9 * (best - 0.75))
    reached = frames.runs[(frames.runs["init"] == "random") & (frames.runs["best_valid_accuracy"] >= level)]
    assert first.loc[("random", "step"), "num_arrived"] == len(reached) < 15
    assert rows.loc[rows["init"] == "language", "share"].min() == 0
    figure = waiting.draw(rows[rows["clock"] == "step"])
    assert figure.layout.xaxis.title.text == "gradient steps"
    assert [trace.line.shape for trace in figure.data] == ["hv"] * 6


def test_only_variants_that_all_inits_have_are_compared(frames):
    fewer = frames.runs[(frames.runs["init"] == "language") | (frames.runs["num_steps"] < 400)]
    rows = waiting.table(Frames("made", fewer, frames.curves, pd.DataFrame()), find(fewer))
    assert set(rows["num_runs"]) == {12}
    alone = frames.runs[frames.runs["init"] == "language"]
    assert waiting.table(Frames("made", alone, frames.curves, pd.DataFrame()), find(alone)).empty
