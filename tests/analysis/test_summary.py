import pytest

from analysis import accuracy, comparisons
from analysis.load import load
from analysis.summary import summarise


@pytest.fixture
def told(synthetic, tmp_path):
    def make(accuracies, **fields):
        pairs = [(init, seed, value) for init, values in accuracies.items() for seed, value in enumerate(values)]
        rows = [synthetic.run(init=init, seed=seed, accuracy=value, **fields) for init, seed, value in pairs]
        frames = load(synthetic.write(tmp_path / "out", rows))
        return summarise(accuracy.table(frames), comparisons.table(frames))

    return make


def test_decided_difference_is_told_with_its_interval(told):
    summary = told({"language": [0.80, 0.71, 0.92], "random": [0.50, 0.40, 0.60]})
    assert summary.answer.startswith("With the transformer frozen (fpt), language weights beat random ones on bit-xor.")
    (sentence,) = summary.decided
    assert sentence == (
        "On bit-xor under fpt, language beats random by 31.0 points [28.5, 33.5] over 3 seeds,"
        " also after Holm's correction."
    )
    assert summary.undecided == []


def test_a_loss_is_told_as_the_other_ones_gain(told):
    summary = told({"language": [0.50, 0.40, 0.60], "random": [0.80, 0.71, 0.92]})
    assert "language weights lose to random ones on bit-xor" in summary.answer
    assert "random beats language by 31.0 points [28.5, 33.5]" in summary.decided[0]


def test_undecided_is_told_as_such(told):
    summary = told({"language": [0.6, 0.5, 0.4], "random": [0.5, 0.5, 0.5]})
    assert "are not told apart from random ones on bit-xor" in summary.answer
    assert summary.decided == []
    assert summary.undecided[0].endswith("over 3 seeds: undecided.")


def test_one_seed_decides_nothing(told):
    summary = told({"language": [0.9], "random": [0.5]})
    assert summary.decided == []
    assert "single seed: no interval" in summary.undecided[0]


def test_results_at_the_trivial_predictor_are_told(told):
    summary = told({"language": [0.74, 0.76, 0.75], "random": [0.74, 0.75, 0.76]}, floor=0.75)
    assert summary.trivial == [
        "On bit-xor under fpt, no initialisation is shown to beat the best trivial predictor (75.0 %)."
    ]


def test_nothing_to_compare_is_said(told):
    assert "nothing to compare" in told({"language": [0.9, 0.8]}).answer


def test_without_a_frozen_run_the_question_stays_open(told):
    summary = told({"language": [0.9, 0.8], "random": [0.5, 0.4]}, train_set="full")
    assert "the question itself is open" in summary.answer
