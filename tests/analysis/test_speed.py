import numpy as np
import pandas as pd
import pytest

from analysis import speed, speed_ups

CLOCK_OF_STEP = {"train_flops": 3.0, "wall_seconds": 0.5}


@pytest.fixture
def made(synthetic):
    """A function from (init, seed) -> accuracies, one every 10 steps, to the ledger's runs and curves as frames."""

    def make(readings, *, status="done", **fields):
        rows, curves = [], []
        for (init, seed), accuracies in readings.items():
            row = synthetic.run(accuracy=0.9, init=init, seed=seed, **fields) | {"status": status}
            rows.append(row)
            points = [(10 * number, value) for number, value in enumerate(accuracies)]
            curves += [
                {**point, **{name: factor * point["step"] for name, factor in CLOCK_OF_STEP.items()}}
                for point in synthetic.curve(row, points)
            ]
        return pd.DataFrame(rows), pd.DataFrame(curves)

    return make


def rising(arrives, final=1.0, number=20):
    """Chance until one evaluation before `arrives` (an index), `final` from there on."""
    return [0.5] * arrives + [final] * (number - arrives)


def test_a_run_converges_where_it_stays_within_95_percent_of_what_it_learned(made):
    # Plateau 0.9: the level is 0.5 + 0.95 * 0.4 = 0.88. The lucky 0.9 at step 20 does not stay.
    lucky = [0.5, 0.5, 0.9, 0.5, 0.6, 0.87, 0.89, 0.9, *[0.9] * 12]
    row = speed.convergence(*made({("language", 0): lucky})).iloc[0]
    assert (row["plateau"], row["level"]) == pytest.approx((0.9, 0.88))
    assert (row["standing"], row["is_reached"]) == (speed.CONVERGED, True)
    assert (row["step"], row["train_flops"], row["wall_seconds"], row["resolution"]) == (60, 180.0, 30.0, 10)
    assert (row["init"], row["seed"]) == ("language", 0)


def test_the_plateau_is_the_mean_of_the_last_fifth_never_the_maximum(made):
    noisy = [*[0.5] * 10, *[0.8] * 6, 0.99, 0.7, 0.8, 0.71]
    row = speed.convergence(*made({("language", 0): noisy})).iloc[0]
    assert row["plateau"] == pytest.approx(np.mean([0.99, 0.7, 0.8, 0.71]))


@pytest.mark.parametrize(
    ("accuracies", "status", "standing", "step"),
    [
        # Plateau 0.85 of readings 16 to 19; its level, 0.8325, is passed at 0.84, the second of these.
        ([0.5 + 0.02 * i for i in range(20)], "done", speed.RISING, 170),
        (rising(16), "done", speed.RISING, 160),
        ([0.5, 0.51, 0.49, 0.5, 0.51, 0.5, 0.5], "done", speed.NOTHING, 60),
        ([0.5, 0.6, 0.9, 0.9, 0.9], "done", speed.FEW, None),
        (rising(3), "diverged", speed.DIVERGED, np.inf),
    ],
)
def test_runs_without_a_plateau_are_censored_and_say_why(made, accuracies, status, standing, step):
    row = speed.convergence(*made({("language", 0): accuracies}, status=status)).iloc[0]
    assert (row["standing"], row["is_reached"]) == (standing, False)
    assert pd.isna(row["step"]) if step is None else row["step"] == step
    assert standing in speed.STANDINGS


def test_what_is_reached_just_before_the_last_fifth_is_reached(made):
    row = speed.convergence(*made({("language", 0): rising(15)})).iloc[0]
    assert (row["standing"], row["step"], row["since"]) == (speed.CONVERGED, 150, 160)


def test_failed_runs_and_runs_without_curves_take_no_part(made):
    runs, curves = made({("language", 0): rising(4)}, status="failed")
    assert speed.convergence(runs, curves).empty
    assert speed.convergence(runs.assign(status="done"), curves.head(0)).empty


def test_variants_have_a_geometric_mean_or_a_lower_bound(made):
    readings = {("language", seed): rising(arrives) for seed, arrives in enumerate([2, 4, 8])}
    table = speed.by_variant(speed.convergence(*made(readings)))
    logs = np.log([20, 40, 80])
    half = 4.302653 * logs.std(ddof=1) / np.sqrt(3)
    row = table.iloc[0]
    assert (row["num_runs"], row["num_reached"], row["init"]) == (3, 3, "language")
    assert row["estimate"] == pytest.approx(40)
    assert (row["low"], row["high"]) == pytest.approx((40 / np.exp(half), 40 * np.exp(half)), rel=1e-5)
    assert np.isnan(row["at_least"])

    late = readings | {("language", 2): [0.5] * 20}
    row = speed.by_variant(speed.convergence(*made(late))).iloc[0]
    assert (row["num_reached"], row["num_runs"]) == (2, 3) and np.isnan(row["estimate"])
    assert row["at_least"] == pytest.approx((20 * 40 * 190) ** (1 / 3))


def test_time_to_an_accuracy_is_counted_on_every_clock(made):
    runs, curves = made({("language", 0): rising(4), ("random", 0): rising(6, 0.7)})
    times = speed.time_to(runs, curves, 0.8)
    rows = times.set_index("init")[["is_reached", "step", "train_flops"]].to_dict("index")
    assert rows["language"] == {"is_reached": True, "step": 40, "train_flops": 120.0}
    assert rows["random"] == {"is_reached": False, "step": 190, "train_flops": 570.0}


def test_speed_up_to_own_plateaus_is_paired_by_seed(made):
    readings = {("language", seed): rising(arrives) for seed, arrives in enumerate([2, 4])}
    readings |= {("random", seed): rising(arrives, 0.8) for seed, arrives in enumerate([8, 8])}
    (row,) = speed_ups.speed_ups(*made(readings)).to_dict("records")
    assert row["ratio"] == pytest.approx(np.sqrt(4 * 2))
    assert row["low"] < row["ratio"] < row["high"] and row["num_seeds"] == 2
    assert not row["is_at_least"] and not row["is_at_most"] and row["task"] == "bit-xor"
    (row,) = speed_ups.speed_ups(*made(readings), clock="wall_seconds").to_dict("records")
    assert row["ratio"] == pytest.approx(np.sqrt(4 * 2)) and row["clock"] == "wall_seconds"


def test_speed_up_to_the_same_accuracy_asks_for_what_the_worse_one_learns(made):
    # 95 % of what random learns is 0.785, which language passes two evaluations before its own plateau.
    language = [*[0.5] * 2, 0.79, 0.79, 0.79, *[1.0] * 15]
    readings = {("language", 0): language, ("random", 0): rising(8, 0.8)}
    (own,) = speed_ups.speed_ups(*made(readings)).to_dict("records")
    (same,) = speed_ups.speed_ups(*made(readings), to="same accuracy").to_dict("records")
    assert (own["ratio"], same["ratio"]) == pytest.approx((8 / 5, 8 / 2))
    assert np.isnan(same["low"])  # one seed carries no interval


def test_a_slow_random_run_gives_a_lower_bound_and_nothing_learned_gives_none(made):
    readings = {("language", 0): rising(4), ("random", 0): [0.5] * 20}
    (row,) = speed_ups.speed_ups(*made(readings)).to_dict("records")
    assert row["is_at_least"] and row["ratio"] == pytest.approx(190 / 40)
    (row,) = speed_ups.speed_ups(*made(readings), to="same accuracy").to_dict("records")
    assert np.isnan(row["ratio"]) and row["num_seeds"] == 0


def test_only_runs_equal_in_everything_else_are_compared(made):
    language = made({("language", 0): rising(4)}, lr=1e-3)
    random = made({("random", 0): rising(8)}, lr=1e-2)
    runs, curves = (pd.concat(both) for both in zip(language, random, strict=True))
    assert speed_ups.speed_ups(runs, curves).empty
    (row,) = speed_ups.speed_ups(runs, curves, by=[name for name in speed_ups.ALIKE if name != "lr"]).to_dict("records")
    assert row["ratio"] == pytest.approx(2)
    assert speed_ups.speed_ups(runs.head(0), curves.head(0)).empty


def test_several_bodies_of_a_seed_are_not_counted_as_seeds(made):
    parts = [made({("language", seed): rising(4) for seed in range(2)})]
    parts += [made({("random", seed): rising(8) for seed in range(2)}, body_seed=body) for body in range(3)]
    runs, curves = (pd.concat(both) for both in zip(*parts, strict=True))
    (row,) = speed_ups.speed_ups(runs, curves).to_dict("records")
    assert row["num_seeds"] == 2 and row["ratio"] == pytest.approx(2)
