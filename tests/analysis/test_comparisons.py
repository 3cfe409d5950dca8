import numpy as np
import pytest

from analysis import comparisons
from analysis.load import load

T2 = 4.302653  # t(0.975, 2)


@pytest.fixture
def compare(synthetic, tmp_path):
    """Table of a ledger with these accuracies: {init: {seed: accuracy}}."""

    def make(accuracies, **fields):
        pairs = [(init, seed, value) for init, seeds in accuracies.items() for seed, value in seeds.items()]
        rows = [synthetic.run(init=init, seed=seed, accuracy=value, **fields) for init, seed, value in pairs]
        return comparisons.table(load(synthetic.write(tmp_path / "out", rows)))

    return make


def test_paired_difference_by_hand(compare):
    # Differences 0.30, 0.31, 0.32: mean 0.31, standard deviation 0.01.
    table = compare({"language": {0: 0.80, 1: 0.71, 2: 0.92}, "random": {0: 0.50, 1: 0.40, 2: 0.60}})
    (row,) = table.to_dict("records")
    assert (row["a"], row["b"], row["num_seeds"]) == ("language", "random", 3)
    assert row["difference"] == pytest.approx(0.31)
    half = T2 * 0.01 / np.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((0.31 - half, 0.31 + half), abs=1e-6)
    assert row["p_holm"] == row["p_value"] < 0.001
    assert row["verdict"] == comparisons.CONFIRMED


def test_pairing_uses_common_seeds_only(compare):
    table = compare({"language": {0: 0.9, 1: 0.8, 7: 0.1}, "random": {0: 0.5, 1: 0.5, 8: 0.9}})
    assert table["difference"].item() == pytest.approx(0.35)
    assert table["num_seeds"].item() == 2


def test_interval_around_zero_is_undecided(compare):
    table = compare({"language": {0: 0.6, 1: 0.5, 2: 0.4}, "random": {0: 0.5, 1: 0.5, 2: 0.5}})
    assert table["verdict"].item() == comparisons.UNDECIDED


def test_one_seed_is_neither_decided_nor_undecided(compare):
    table = compare({"language": {0: 0.9}, "random": {0: 0.5}})
    row = table.iloc[0]
    assert row["verdict"] == comparisons.NO_INTERVAL
    assert np.isnan(row["low"]) and np.isnan(row["p_holm"])


def test_no_common_seed_is_not_run(compare):
    table = compare({"language": {0: 0.9}, "random": {1: 0.5}})
    assert table["verdict"].item() == comparisons.NOT_RUN


def test_one_init_leaves_nothing_to_compare(compare):
    assert compare({"language": {0: 0.9, 1: 0.8}}).empty


def test_holm_is_over_all_comparisons_of_the_setting(study_ledger):
    table = comparisons.table(load(study_ledger))
    tested = table.dropna(subset=["p_value"])
    assert len(table) == 24 and len(tested) == 23
    smallest = tested.loc[tested["p_value"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(23 * smallest["p_value"])
    assert (tested["p_holm"] >= tested["p_value"]).all()


def test_contrasts_without_language_are_against_random():
    assert comparisons.contrasts(["language", "bit-memory", "random"]) == [
        ("language", "random"),
        ("language", "bit-memory"),
    ]
    assert comparisons.contrasts(["random", "vision"]) == [("vision", "random")]
    assert comparisons.contrasts(["random"]) == []


def test_random_bodies_widen_the_interval(synthetic, tmp_path):
    rows = [synthetic.run(init="language", seed=seed, accuracy=0.9 + 0.001 * seed) for seed in range(3)]
    rows += [
        synthetic.run(init="random", seed=seed, body_seed=body, accuracy=0.5 + 0.3 * body)
        for seed in range(3)
        for body in range(2)
    ]
    row = comparisons.table(load(synthetic.write(tmp_path / "out", rows))).iloc[0]
    assert row["num_seeds"] == 2
    assert row["verdict"] == comparisons.UNDECIDED


def test_forest_draws_every_comparison_and_names_its_verdict(study_ledger):
    table = comparisons.table(load(study_ledger))
    figure = comparisons.draw(table)
    points = [trace for trace in figure.data if trace.x[0] is not None]
    assert len(points) == 23
    assert sorted(trace.x[0] for trace in points) == pytest.approx(sorted(100 * table["difference"].dropna()))
    shown = {trace.name for trace in figure.data if trace.showlegend is not False}
    assert shown == {comparisons.CONFIRMED, comparisons.DECIDED, comparisons.UNDECIDED}
    assert [a.text for a in figure.layout.annotations].count("not run") == 1


def test_nothing_is_compared_that_nobody_asked_for(synthetic, tmp_path):
    cells = [("language", "fpt"), ("language", "full"), ("statistics", "fpt")]
    rows = [synthetic.run(init=init, train_set=name, accuracy=0.9) for init, name in cells]
    missing = [synthetic.run(init="shuffled", train_set="full")]
    table = comparisons.table(load(synthetic.write(tmp_path / "out", rows, missing=missing)))
    assert table[["b", "train_set"]].to_numpy().tolist() == [["statistics", "fpt"]]
