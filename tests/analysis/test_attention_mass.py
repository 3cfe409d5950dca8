import numpy as np
import pandas as pd
import pytest

from analysis import attention, load


@pytest.fixture(scope="module")
def frames(synthetic, tmp_path_factory):
    """Two tokens, two seeds: run 0 looks at places 0 and 2 with 0.5 and 0.9, run 1 with 0.7 and 0.9; before, 0.4."""
    rows, looked = [], []
    for seed, masses in enumerate([(0.5, 0.9), (0.7, 0.9)]):
        row = synthetic.run(accuracy=0.9, seed=seed)
        rows.append(row)
        for state, at in (("untrained", (0.4, 0.4)), ("selected", masses)):
            for query, mass in zip((2, 3), at, strict=True):
                looked.append(synthetic.attention(row, state, query, mass))
    rows.append(synthetic.run("digits", accuracy=0.9))
    out = synthetic.write(tmp_path_factory.mktemp("attention") / "out", rows, attention=looked)
    return load.load(out)


def test_mass_is_what_goes_to_the_places_that_matter(frames):
    measured = attention.mass(frames.attention, frames.runs)
    measured = measured.merge(frames.runs[["run_id", "seed"]]).sort_values("seed")
    assert measured["task"].tolist() == ["bit-xor"] * 2  # digits has no probe
    assert measured["mass_on_relevant"].tolist() == pytest.approx([0.7, 0.8])
    assert measured["untrained"].tolist() == pytest.approx([0.4, 0.4])
    assert measured["uniform"].tolist() == pytest.approx([(2 / 3 + 2 / 4) / 2] * 2)
    # Heads have 0.2 less and more than their mean; the best one is that with most over both tokens.
    assert measured["best_head"].tolist() == pytest.approx([0.9, 1.0])
    assert measured["untrained_best_head"].tolist() == pytest.approx([0.6, 0.6])


def test_of_the_attention_to_stored_tokens_a_share_is_on_those_that_matter(frames):
    """Token 2 is the first that is read: of places 0 and 1, place 0 matters, with half of the mass."""
    measured = attention.mass(frames.attention, frames.runs)
    measured = measured.merge(frames.runs[["run_id", "seed"]]).sort_values("seed")
    expected = [np.mean([mass / 2 / (1 - mass / 2) for mass in masses]) for masses in ((0.5, 0.9), (0.7, 0.9))]
    assert measured["among_stored"].tolist() == pytest.approx(expected)
    assert measured["untrained_among_stored"].tolist() == pytest.approx([0.25, 0.25])
    assert measured["uniform_among_stored"].tolist() == [0.5, 0.5]


def test_cells_are_means_over_seeds_with_intervals(frames):
    (row,) = attention.by_cell(attention.mass(frames.attention, frames.runs), frames.runs).to_dict("records")
    half = 12.706205 * np.std([0.7, 0.8], ddof=1) / np.sqrt(2)
    assert (row["mass_on_relevant"], row["low"], row["high"]) == pytest.approx((0.75, 0.75 - half, 0.75 + half))
    assert (row["gain"], row["gain_low"]) == pytest.approx((0.35, 0.35 - half))
    assert (row["init"], row["num_seeds"], row["num_runs"]) == ("language", 2, 2)


def test_maps_are_means_over_runs_and_add_up(frames):
    maps = attention.maps(frames.attention, frames.runs)
    assert maps.groupby(["state", "query"])["weight"].sum().tolist() == pytest.approx([1.0] * 4)
    trained = maps[(maps["state"] == "selected") & (maps["query"] == 2)]
    assert trained["weight"].tolist() == pytest.approx([0.3, 0.4, 0.3, 0.0])
    assert trained["is_relevant"].tolist() == [True, False, True, False]
    assert set(trained["num_runs"]) == {2}


def test_a_ledger_without_attention_has_no_masses(frames):
    none = frames.attention.head(0)
    assert attention.mass(none, frames.runs).empty
    assert attention.by_cell(attention.mass(none, frames.runs), frames.runs).empty
    assert attention.maps(none, frames.runs).empty
    # Half of the states is half of the answer, and no error.
    before = frames.attention[frames.attention["state"] == "untrained"]
    half = attention.mass(before, frames.runs)
    assert pd.isna(half["mass_on_relevant"]).all() and attention.by_cell(half, frames.runs).empty
