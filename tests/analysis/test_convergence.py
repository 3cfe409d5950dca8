import numpy as np
import pandas as pd
import pytest

from analysis import convergence

LEVEL = 0.8


def curve(run_id, accuracies, every=10):
    steps = [every * i for i in range(len(accuracies))]
    values = {"train_flops": [2.0 * s for s in steps], "wall_seconds": [0.1 * s for s in steps]}
    return pd.DataFrame({"run_id": run_id, "split": "valid", "step": steps, "accuracy": accuracies, **values})


def reached(curves, status="done"):
    runs = pd.DataFrame({"run_id": sorted(curves["run_id"].unique()), "status": status})
    levels = pd.Series(LEVEL, index=runs["run_id"])
    return convergence.reached(curves, runs, levels).set_index("run_id")


@pytest.mark.parametrize(
    ("accuracies", "step"),
    [
        ([0.5, 0.7, 0.8, 0.9, 0.9], 20),
        ([0.5, 0.9, 0.5, 0.6, 0.7, 0.9, 0.9, 0.9], 50),  # one lucky reading
        ([0.5, 0.9, 0.79, 0.9, 0.9], 10),  # one unlucky one
        ([0.5, 0.6, 0.7, 0.85], 30),  # at the last evaluation
        ([0.9, 0.9, 0.9], 0),
    ],
)
def test_a_level_is_reached_where_accuracy_stays_there(accuracies, step):
    row = reached(curve("a", accuracies)).loc["a"]
    assert row["is_reached"]
    assert (row["step"], row["train_flops"], row["wall_seconds"]) == pytest.approx((step, 2.0 * step, 0.1 * step))
    assert np.isnan(row["resolution"]) if step == 0 else row["resolution"] == 10


def test_what_is_not_reached_is_censored_at_the_end_or_never_comes():
    slow = curve("a", [0.5, 0.6, 0.7])
    row = reached(slow).loc["a"]
    assert not row["is_reached"] and row["step"] == 20
    row = reached(slow, status="diverged").loc["a"]
    assert not row["is_reached"] and np.isinf(row["step"])
    assert reached(slow, status="failed").empty
    assert reached(curve("a", [0.5, 0.9, 0.9]), status="diverged").loc["a"]["step"] == 10


def test_training_readings_do_not_count():
    assert reached(curve("a", [0.9, 0.9]).assign(split="train")).empty


def test_kaplan_meier_by_hand():
    # Arrivals at 1, 3 and 4, one run watched until 2, one that never arrives: 4/5, then 4/5 * 2/3, then half of that.
    waiting = convergence.kaplan_meier([1, 2, 3, 4, np.inf], [True, False, True, True, False])
    assert waiting.curve["time"].tolist() == [0, 1, 3, 4]
    assert waiting.curve["share"].tolist() == pytest.approx([1, 0.8, 0.8 * 2 / 3, 0.8 / 3])
    assert waiting.curve["num_at_risk"].tolist() == [5, 5, 3, 2]
    assert (waiting.median, waiting.num_runs, waiting.num_arrived) == (4, 5, 3)
    # Greenwood: 1/(5*4) = 0.05 at the first arrival; log(-log) interval of 0.8.
    spread = 1.959964 * np.sqrt(0.05) / abs(np.log(0.8))
    assert waiting.curve["low"][1] == pytest.approx(0.8 ** np.exp(spread), abs=1e-5)
    assert waiting.curve["high"][1] == pytest.approx(0.8 ** np.exp(-spread), abs=1e-5)
    assert waiting.median_low == 1 and waiting.median_high is None


def test_nobody_arrives_and_everybody_arrives():
    none = convergence.kaplan_meier([5, np.inf], [False, False])
    assert (none.median, none.num_arrived, len(none.curve)) == (None, 0, 1)
    every = convergence.kaplan_meier([5, 7], [True, True])
    assert every.curve["share"].tolist() == [1, 0.5, 0]
    assert every.median == 5
    with pytest.raises(ValueError, match="at least one"):
        convergence.kaplan_meier([], [])


def pairs(steps, is_reached=True):
    return pd.DataFrame({"seed": range(len(steps)), "step": steps, "is_reached": is_reached})


def test_speed_up_is_the_geometric_mean_of_paired_ratios():
    found = convergence.speed_up(pairs([10.0, 20.0, 10.0]), pairs([20.0, 80.0, 20.0]), clock="step", of="x")
    logs = np.log([2, 4, 2])
    half = 4.302653 * logs.std(ddof=1) / np.sqrt(3)
    assert found.interval.estimate == pytest.approx(np.exp(logs.mean()))
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (np.exp(logs.mean() - half), np.exp(logs.mean() + half)), abs=1e-4
    )
    assert (found.is_at_least, found.is_at_most, found.num_pairs) == (False, False, 3)


def test_censored_times_give_bounds_or_nothing():
    own, other = pairs([10.0, 20.0]), pairs([30.0, 40.0])
    slow = other.assign(is_reached=[True, False])
    found = convergence.speed_up(own, slow, clock="step", of="x")
    assert found.is_at_least and found.interval.high is None and found.interval.low is not None
    found = convergence.speed_up(slow, own, clock="step", of="x")
    assert found.is_at_most and found.interval.low is None and found.interval.p_value is None
    assert convergence.speed_up(slow, slow, clock="step", of="x") is None
    assert convergence.speed_up(own, slow.assign(step=[30.0, np.inf]), clock="step", of="x") is None
    assert convergence.speed_up(own, other.assign(seed=[5, 6]), clock="step", of="x") is None
