import numpy as np
import pytest

from analysis import accuracy
from analysis.load import load


@pytest.fixture(scope="module")
def six_rows(synthetic, tmp_path_factory):
    """language under fpt: 0.8, 0.9, 1.0; under full: one seed 0.7, two missing. random under fpt: one failed, one
    diverged, one missing; under full nothing was asked for, under output-only three are missing."""
    rows = [synthetic.run(accuracy=value, seed=seed) for seed, value in enumerate([0.8, 0.9, 1.0])]
    rows.append(synthetic.run(accuracy=0.7, train_set="full"))
    rows.append(synthetic.run(init="random", seed=0, status="failed", error="out of memory"))
    rows.append(synthetic.run(init="random", seed=1, status="diverged", accuracy=0.99))
    missing = [synthetic.run(train_set="full", seed=seed) for seed in (1, 2)]
    missing.append(synthetic.run(init="random", seed=2))
    missing += [synthetic.run(init="random", train_set="output-only", seed=seed) for seed in range(3)]
    out = synthetic.write(tmp_path_factory.mktemp("six") / "out", rows, missing=missing)
    return accuracy.table(load(out))


def cell(table, init, train_set):
    return table[(table["init"] == init) & (table["train_set"] == train_set)].iloc[0]


def test_mean_and_interval_by_hand(six_rows):
    row = cell(six_rows, "language", "fpt")
    half = 4.302653 * 0.1 / np.sqrt(3)  # t(0.975, 2) times the standard error
    assert row["mean"] == pytest.approx(0.9)
    assert (row["low"], row["high"]) == pytest.approx((0.9 - half, 0.9 + half), abs=1e-6)
    assert row["seed_accuracies"] == pytest.approx((0.8, 0.9, 1.0))
    assert (row["num_seeds"], row["num_done"], row["num_missing"]) == (3, 3, 0)
    assert (row["chance"], row["floor"]) == (0.5, 0.5)


def test_one_seed_has_a_mean_and_no_interval(six_rows):
    row = cell(six_rows, "language", "full")
    assert row["mean"] == 0.7
    assert np.isnan(row["low"]) and np.isnan(row["high"])
    assert row["method"] == "one seed: no interval"
    assert row["num_missing"] == 2


def test_diverged_and_failed_runs_are_counted_and_enter_no_mean(six_rows):
    row = cell(six_rows, "random", "fpt")
    assert np.isnan(row["mean"])
    assert (row["num_done"], row["num_diverged"], row["num_failed"], row["num_missing"]) == (0, 1, 1, 1)
    assert accuracy.gap_text(row) == "1 diverged, 1 failed, 1 missing"


def test_cell_without_a_run_is_a_row(six_rows):
    row = cell(six_rows, "random", "output-only")
    assert np.isnan(row["mean"])
    assert row["num_missing"] == 3
    assert accuracy.gap_text(row) == "not run"


def test_cell_that_nobody_asked_for_lacks_nothing(six_rows):
    row = cell(six_rows, "random", "full")
    assert np.isnan(row["mean"])
    assert row["num_missing"] == 0
    assert accuracy.gap_text(row) == ""


def test_figure_shows_seeds_means_lines_and_gaps(six_rows):
    figure = accuracy.draw(six_rows)
    by_name = {}
    for trace in figure.data:
        by_name.setdefault(trace.name, []).append(trace)
    seeds, means = by_name["language"]
    assert sorted(seeds.y) == pytest.approx([0.7, 0.8, 0.9, 1.0])
    assert list(means.y) == pytest.approx([0.9, 0.7])
    assert np.isnan(means.error_y.array[1])  # one seed: no bar, not one of zero width
    assert list(by_name["chance"][0].y) == [0.5, 0.5]
    notes = {annotation.text for annotation in figure.layout.annotations}
    assert {"not run", "1 diverged, 1 failed, 1 missing", "2 missing"} <= notes


def test_every_init_has_one_legend_entry_colour_and_symbol(study_ledger):
    figure = accuracy.draw(accuracy.table(load(study_ledger)))
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(shown) == ["best trivial predictor", "bit-memory", "chance", "language", "random"]
    for name in ("language", "bit-memory", "random"):
        looks = {(t.marker.color, t.marker.symbol) for t in figure.data if t.name == name}
        assert len(looks) == 1


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_every_task_has_a_panel_at_every_width(study_ledger, columns):
    figure = accuracy.draw(accuracy.table(load(study_ledger)), columns=columns)
    titles = {annotation.text for annotation in figure.layout.annotations}
    assert {"<b>bit-memory</b>", "<b>bit-xor</b>", "<b>listops</b>", "<b>digits</b>"} <= titles


def test_body_seeds_crossed_with_seeds_are_not_counted_as_independent(synthetic, tmp_path):
    values = {(seed, body): 0.5 + 0.2 * body + 0.001 * seed for seed in range(3) for body in range(2)}
    rows = [synthetic.run(init="random", seed=s, body_seed=b, accuracy=v) for (s, b), v in values.items()]
    row = accuracy.table(load(synthetic.write(tmp_path / "out", rows))).iloc[0]
    assert (row["num_done"], row["num_seeds"]) == (6, 2)
    assert row["method"] == "t over 2 body seeds"
