"""Train/test gaps, epochs with cached features and counts of trained parameters against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis import epochs, gaps, trained_parameters
from models import TRAIN_SETS
from models.bodies import architecture
from models.cost import cost


def test_gaps_are_paired_by_run(synthetic):
    rows = [
        synthetic.run(accuracy=0.9, seed=seed) | {"train_accuracy": train, "test_accuracy": test}
        for seed, (train, test) in enumerate([(0.9, 0.8), (0.7, 0.5)])
    ]
    rows += [synthetic.run(accuracy=0.9, seed=2, status="diverged"), synthetic.run("digits", accuracy=0.6)]
    table = gaps.gaps(pd.DataFrame(rows)).set_index("task")
    half = 12.706205 * np.std([0.1, 0.2], ddof=1) / np.sqrt(2)
    row = table.loc["bit-xor"]
    assert (row["train_accuracy"], row["test_accuracy"], row["gap"]) == pytest.approx((0.8, 0.65, 0.15))
    assert (row["low"], row["high"]) == pytest.approx((0.15 - half, 0.15 + half))
    assert (row["num_runs"], row["num_seeds"]) == (2, 2)
    assert table.loc["digits", "gap"] == 0 and np.isnan(table.loc["digits", "low"])
    assert gaps.gaps(pd.DataFrame(rows).head(0)).empty


def timed(synthetic, examples_per_second, **fields):
    """A run whose three readings are slowed by a pause in one of them."""
    row = synthetic.run("listops", accuracy=0.3, **fields)
    speeds = (examples_per_second, examples_per_second / 9, examples_per_second)
    curve = [
        {**point, "split": "train", "examples_per_second": speed}
        for point, speed in zip(synthetic.curve(row, [(1, 0.1), (2, 0.1), (3, 0.1)]), speeds, strict=True)
    ]
    return row, curve


def test_epochs_with_cached_features_are_compared_on_one_device_and_by_seed(synthetic):
    made = [
        timed(synthetic, 1000.0, seed=seed, train_set="output-only", features="cached", lr=0.1) for seed in range(2)
    ]
    made += [timed(synthetic, 10.0 * 4**seed, seed=seed, train_set="output-only") for seed in range(2)]
    made += [timed(synthetic, 5.0, seed=0, train_set="fpt", init="random")]
    elsewhere, curve = timed(synthetic, 900.0, seed=0, train_set="full")
    made.append((elsewhere | {"device": "another"}, curve))
    runs, curves = pd.DataFrame([row for row, _ in made]), pd.DataFrame([p for _, curve in made for p in curve])
    table = epochs.cached_speed_ups(runs, curves).set_index("train_set")
    assert sorted(table.index) == ["fpt", "output-only"]
    row = table.loc["output-only"]
    assert (row["ratio"], row["cached_rate"], row["online_rate"]) == pytest.approx((50, 1000, 20))
    assert (row["cached_pack"], row["online_pack"], row["num_seeds"]) == (3, 3, 2)
    half = 12.706205 * np.std(np.log([100, 25]), ddof=1) / np.sqrt(2)
    assert (row["low"], row["high"]) == pytest.approx((50 / np.exp(half), 50 * np.exp(half)), rel=1e-5)
    assert table.loc["fpt", "ratio"] == pytest.approx(200) and np.isnan(table.loc["fpt", "low"])
    assert epochs.cached_speed_ups(runs[runs["features"] == "online"], curves).empty


def test_the_papers_formula_gives_the_papers_numbers():
    counts = [trained_parameters.paper_count(width, layers) for width, layers in ((768, 12), (1024, 24), (1280, 36))]
    assert counts == [105_984, 190_464, 299_520]


def test_what_the_code_unfreezes_is_the_formula_with_its_inputs_biases_and_last_norm():
    """132,874 on CIFAR-10 with 64 positions: 48 values a token, 12 layers of width 768."""
    shape = {"num_tokens": 64, "num_features": 48, "num_symbols": None, "num_readouts": 1, "num_outputs": 10}
    counted = cost(architecture("gpt2", size="base"), groups=TRAIN_SETS["fpt"], batch_size=1, precision="fp32", **shape)
    extra = 768 + 10 + 2 * 768
    assert counted.num_params_trained == trained_parameters.paper_count(768, 12, num_features=48) + extra == 132_874


def test_counts_stand_beside_the_formula_where_the_paper_has_one(synthetic):
    rows = [synthetic.run(task, accuracy=0.5, seed=seed) for task in ("cifar10", "bit-xor") for seed in range(2)]
    rows += [synthetic.run("cifar10", accuracy=0.5, num_layers=2), synthetic.run("cifar10", train_set="full")]
    table = trained_parameters.counts(pd.DataFrame(rows))
    assert len(table) == 3 and set(table["num_params_trained"]) == {9_400}
    by_depth = table[table["task"] == "cifar10"].set_index("num_layers")["paper_count"]
    assert by_depth[2] == (16 + 10 + 8 + 64) * 128 and by_depth.sum() == by_depth[2] + (16 + 10 + 16 + 64) * 128
    assert table.loc[table["task"] == "bit-xor", "paper_count"].isna().all()
