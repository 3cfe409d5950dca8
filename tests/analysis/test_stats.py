import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from analysis.stats import bootstrap_interval, crossed_interval, holm, t_interval


def test_t_interval_by_hand():
    # 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653
    interval = t_interval([1, 2, 3], of="length")
    assert interval.estimate == 2
    assert interval.low == pytest.approx(2 - 4.302653 / np.sqrt(3), abs=1e-6)
    assert interval.high == pytest.approx(2 + 4.302653 / np.sqrt(3), abs=1e-6)
    assert (interval.of, interval.method, interval.num_samples) == ("length", "t over 3 seeds", 3)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.sampled_from([0.8, 0.95, 0.99]))
@settings(deadline=None, max_examples=50)
def test_t_interval_agrees_with_scipy(values, level):
    if np.std(values) < 1e-9:
        return
    interval = t_interval(values, of="x", level=level)
    reference = scipy_stats.ttest_1samp(values, 0.0)
    expected = reference.confidence_interval(level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.p_value == pytest.approx(reference.pvalue)


def test_one_seed_has_no_interval():
    interval = t_interval([0.7], of="x")
    assert interval.estimate == 0.7
    assert interval.low is interval.high is interval.p_value is None
    assert interval.method == "one seed: no interval"
    assert not interval.excludes(0.0)


def test_seeds_that_agree_exactly():
    assert t_interval([1.0, 1.0, 1.0], of="x").p_value == 0.0
    assert t_interval([0.0, 0.0], of="x").p_value == 1.0


@pytest.mark.parametrize("values", [[], [np.nan, 1.0], [np.inf]])
def test_values_that_carry_no_mean_are_refused(values):
    with pytest.raises(ValueError, match="at least one value and only finite ones"):
        t_interval(values, of="mean accuracy")


def test_t_interval_covers_as_stated():
    samples = np.random.default_rng(0).normal(0.6, 0.05, size=(2000, 3))
    covered = [not t_interval(sample, of="x").excludes(0.6) for sample in samples]
    assert 0.935 <= np.mean(covered) <= 0.965  # three standard errors around 0.95


def test_crossed_seeds_and_bodies_take_the_wider_interval():
    # Bodies differ a lot (0.5, 0.9), seeds hardly: six runs are two bodies, not six independent samples.
    values = [0.50, 0.51, 0.52, 0.90, 0.91, 0.92]
    seeds, bodies = [0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1]
    crossed = crossed_interval(values, seeds=seeds, body_seeds=bodies, of="x")
    assert crossed.method == "t over 2 body seeds"
    assert (crossed.low, crossed.high) == pytest.approx(scipy_stats.t.interval(0.95, 1, 0.71, 0.2))
    assert crossed.low < t_interval(values, of="x").low


def test_crossed_interval_is_the_plain_one_where_one_axis_follows_the_other():
    values = [0.5, 0.6, 0.9]
    plain = t_interval(values, of="x")
    assert crossed_interval(values, seeds=[0, 1, 2], body_seeds=[0, 0, 0], of="x") == plain
    assert crossed_interval(values, seeds=[0, 1, 2], body_seeds=[5, 6, 7], of="x") == plain
    assert crossed_interval(values, seeds=[0, 0, 0], body_seeds=[5, 6, 7], of="x").method == "t over 3 body seeds"


def test_crossed_coverage_with_random_bodies():
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(500):
        body, seed = generator.normal(0, 0.1, (3, 1)), generator.normal(0, 0.02, (1, 3))
        values = (0.5 + body + seed + generator.normal(0, 0.01, (3, 3))).ravel()
        interval = crossed_interval(values, seeds=[0, 1, 2] * 3, body_seeds=[0] * 3 + [1] * 3 + [2] * 3, of="x")
        covered += not interval.excludes(0.5)
    assert covered / 500 >= 0.92


def test_bootstrap_is_seeded_stratified_and_named():
    strata = [np.array([0.0, 0.1, 0.2]), np.array([0.8, 0.9, 1.0])]
    first = bootstrap_interval(strata, lambda s: float(s[1].mean() - s[0].mean()), of="gain", num_resamples=500, seed=3)
    again = bootstrap_interval(strata, lambda s: float(s[1].mean() - s[0].mean()), of="gain", num_resamples=500, seed=3)
    other = bootstrap_interval(strata, lambda s: float(s[1].mean() - s[0].mean()), of="gain", num_resamples=500, seed=4)
    assert first == again
    assert other.low != first.low or other.high != first.high
    assert first.estimate == pytest.approx(0.8)
    assert 0.6 <= first.low <= 0.8 <= first.high <= 1.0  # mixing the strata could leave this range
    assert first.method == "percentile bootstrap, 500 resamples within 2 strata, seed 3"


def test_bootstrap_of_many_samples_agrees_with_scipy():
    sample = np.random.default_rng(5).normal(size=200)
    ours = bootstrap_interval([sample], lambda s: float(s[0].mean()), of="mean", num_resamples=4000)
    theirs = scipy_stats.bootstrap((sample,), np.mean, method="percentile", rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_bootstrap_of_one_seed_has_no_interval():
    assert bootstrap_interval([[0.5], [0.1, 0.2]], lambda s: float(s[0].mean()), of="x").low is None


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1 = 0.03, 0.06, 0.04; never below an earlier one.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="must lie in"):
        holm([0.2, 1.5])


def test_holm_keeps_the_family_error():
    p_values = np.random.default_rng(2).uniform(size=(2000, 12))
    errors = [min(holm(row)) < 0.05 for row in p_values]
    assert np.mean(errors) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
