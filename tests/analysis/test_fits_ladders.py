"""From a frame of runs to rungs: which runs count, what y is, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from analysis.ladder_frames import ladders, table
from analysis.ladders import points
from study.errors import UserError


def frame(**changed):
    rows = [
        {
            "init": init, "size": size, "num_params_total": params, "seed": seed,
            "body_seed": seed if init == "random" else 0,
            "status": "done", "test_accuracy": accuracy + 0.01 * seed - (0.1 if init == "random" else 0),
            "test_loss": 2.0 - accuracy, "chance_accuracy": 0.1, "floor_accuracy": 0.2, "lr": 1e-3, "task": "digits",
            "train_flops": params * 1e3 * (1 + 0.01 * seed),
        }
        for init in ("language", "random")
        for size, params, accuracy in (("nano", 1e6, 0.5), ("mini", 1e7, 0.6), ("base", 1e8, 0.7))
        for seed in (0, 1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changed)


def test_one_ladder_for_each_variant_with_its_rungs():
    found = ladders(frame(), x="num_params_total", y="test_error", by="init")
    assert list(found) == ["init language", "init random"]
    language = found["init language"]
    assert language.x[:, 0].tolist() == pytest.approx([1e6, 1e7, 1e8])
    assert language.y[:3].tolist() == pytest.approx([0.5, 0.49, 0.48])
    assert language.chance == pytest.approx(0.8)  # of the best trivial predictor, not of the uniform guess
    rows = table(found)
    assert rows["mean"].tolist() == pytest.approx([0.49, 0.39, 0.29, 0.59, 0.49, 0.39])
    assert rows["sd"].tolist() == pytest.approx([0.01] * 6)
    assert rows["num_seeds"].tolist() == [3] * 6
    assert rows["num_body_seeds"].tolist() == [1, 1, 1, 3, 3, 3]
    assert rows["num_units"].tolist() == [3] * 6
    assert rows["num_params_total"].tolist() == pytest.approx([1e6, 1e7, 1e8] * 2)


def test_rescaled_between_floor_and_ceiling():
    found = ladders(frame(), x="num_params_total", y="test_error", by="init", between=("floor_accuracy", 0.9))
    ladder = found["init language"]
    assert ladder.y[0] == pytest.approx((0.9 - 0.5) / (0.9 - 0.2))
    assert ladder.chance == pytest.approx(1.0)


def test_loss_is_taken_as_it_is_and_has_no_chance():
    ladder = ladders(frame(), x="num_params_total", y="test_loss", by="init")["init random"]
    assert ladder.y[0] == pytest.approx(1.5)
    assert ladder.chance is None


def test_rungs_by_name_where_x_differs_between_seeds():
    ladder = ladders(frame(), x="train_flops", y="test_error", by="init", rung="size")["init random"]
    assert ladder.num_rungs == 3
    assert ladder.x[0, 0] == pytest.approx(1e9 * (1 * 1.01 * 1.02) ** (1 / 3))


def test_runs_that_are_not_done_are_counted_and_empty_rungs_named():
    rows = frame()
    rows.loc[(rows["init"] == "random") & (rows["size"] == "base"), "status"] = "failed"
    rows.loc[(rows["init"] == "random") & (rows["size"] == "mini") & (rows["seed"] == 2), "status"] = "diverged"
    ladder = ladders(rows, x="num_params_total", y="test_error", by="init", rung="size")["init random"]
    assert ladder.num_rungs == 2
    assert ladder.num_diverged.tolist() == [0, 1]
    assert ladder.empty_rungs == ("size base",)
    assert ladder.table["num_runs"].tolist() == [3, 2]


def test_two_inputs_make_a_joint_ladder():
    rows = pd.concat([frame(num_train_examples=n) for n in (100, 1000)])
    ladder = ladders(rows, x=("num_params_total", "num_train_examples"), y="test_error", by="init")["init language"]
    assert ladder.x.shape == (6, 2)
    assert ladder.x_names == ("num_params_total", "num_train_examples")


@pytest.mark.parametrize(
    ("given", "changed", "message"),
    [
        ({"x": "num_params"}, {}, "unknown column 'num_params'; did you mean num_params_total"),
        ({"y": "test_accuracy"}, {}, "test_accuracy rises and the fits want what falls; give test_error"),
        ({"y": "tets_error"}, {}, "did you mean test_error"),
        ({"between": ("floor_acc", 1.0)}, {}, "unknown column 'floor_acc'; did you mean floor_accuracy"),
        ({"between": (0.9, 0.5)}, {}, "the floor must be below the ceiling"),
        ({"between": (0.1, 1.0), "y": "test_loss"}, {}, "unknown error to rescale 'test_loss'"),
        ({}, {"num_params_total": None}, "num_params_total is null or not positive in 9 of 9 runs"),
        ({}, {"test_accuracy": np.nan}, "test_error is null or not finite"),
        ({}, {"lr": np.linspace(1, 2, 18)}, "runs of one rung differ in lr; name it in by"),
        ({"by": ()}, {}, "all runs: runs of one rung differ in init"),
        ({}, {"seed": 0, "body_seed": 0}, "two runs of a rung have the same seed and body_seed"),
        ({}, {"status": "failed"}, "none of 18 runs is done"),
        ({}, {"floor_accuracy": np.linspace(0.1, 0.5, 18)}, "chance levels"),
    ],
)
def test_mistakes_are_told_in_one_line(given, changed, message):
    asked = {"x": "num_params_total", "y": "test_error", "by": "init", **given}
    with pytest.raises(UserError) as caught:
        ladders(frame(**changed), **asked)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_points_sort_themselves_into_rungs():
    ladder = points([10, 1, 10, 1, 100], [0.4, 0.9, 0.6, 0.7, 0.1])
    assert ladder.x[:, 0].tolist() == [1, 10, 100]
    assert ladder.means(ladder.y).tolist() == pytest.approx([0.8, 0.5, 0.1])
    assert ladder.num_units.tolist() == [2, 2, 1]
    without = ladder.without([1])
    assert without.x[:, 0].tolist() == [1, 100]
    assert without.y.tolist() == [0.9, 0.7, 0.1]
    assert without.rung.tolist() == [0, 0, 1]


@pytest.mark.parametrize(("x", "y"), [([1, 2], [1]), ([0, 1], [1, 1]), ([1, 2], [1, np.nan]), ([], [])])
def test_points_that_are_none_are_refused(x, y):
    with pytest.raises(UserError):
        points(x, y)
