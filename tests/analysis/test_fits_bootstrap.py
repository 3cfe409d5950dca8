"""Intervals: corrected for few seeds, hierarchical over bodies, and holding the truth as often as they say."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.fits import Caution, fit
from analysis.fits_bootstrap import bootstrap, quantiles, resample
from analysis.forms import POWER, POWER_FLOOR
from analysis.ladders import points

SIZES = np.logspace(6, 9.2, 6)


def ladder(spread=0.03, num_seeds=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(0.08 + 30 * SIZES**-0.3, num_seeds)
    return points(np.repeat(SIZES, num_seeds), y * np.exp(spread * rng.standard_normal(len(y))))


def test_variance_of_a_rungs_mean_is_the_unbiased_estimate_with_t_tails():
    given, rng = ladder(num_seeds=3), np.random.default_rng(0)
    target = np.log(given.y)
    deviations, freedom = resample(given, target, 40_000, rng)
    means = given.means(deviations)
    unbiased = np.array([unit.var(ddof=1) / 3 for unit in given.unit_means(target)])
    # Student's t has a variance of df / (df - 2).
    assert means.var(axis=0) == pytest.approx(unbiased * freedom / (freedom - 2), rel=0.06)
    assert means.mean(axis=0) == pytest.approx(np.zeros(6), abs=5e-4)
    assert 2 <= freedom <= 12


def test_equal_spreads_have_all_their_degrees_of_freedom():
    x = np.repeat(SIZES, 3)
    even = points(x, np.exp(np.tile([-0.1, 0.0, 0.1], 6)))
    assert resample(even, np.log(even.y), 10, np.random.default_rng(0))[1] == pytest.approx(12)
    one = points(x, np.exp(np.tile([-0.1, 0.0, 0.1], 6) * (x == SIZES[2])))
    assert resample(one, np.log(one.y), 10, np.random.default_rng(0))[1] == pytest.approx(2)


def with_bodies(values, bodies, seeds, num_rungs=4):
    """The same runs on every rung, labelled with body seeds and seeds."""
    x = np.repeat(np.logspace(6, 9, num_rungs), len(values))
    found = points(x, np.exp(np.tile(values, num_rungs)))
    return replace(found, seed=np.tile(seeds, num_rungs), body_seed=np.tile(bodies, num_rungs))


def test_bodies_are_the_units_where_there_are_several():
    # Three bodies far apart, three seeds each that hardly differ: nine runs are three independent values.
    values = np.repeat([0.0, 1.0, 2.0], 3) + np.tile([0.0, 0.01, 0.02], 3)
    given = with_bodies(values, np.repeat([0, 1, 2], 3), np.arange(9))
    assert given.num_units.tolist() == [3, 3, 3, 3]
    deviations, freedom = resample(given, np.log(given.y), 40_000, np.random.default_rng(0))
    assert freedom == pytest.approx(8)  # two for each of four rungs
    assert given.means(deviations).var(axis=0) == pytest.approx(np.full(4, 1 / 3 * 8 / 6), rel=0.1)


def test_crossed_seeds_and_bodies_take_the_wider_grouping():
    values = np.tile([0.0, 0.5, 1.0], 2) + np.repeat([0.0, 0.01], 3)  # two bodies hardly differ, three seeds do
    given = with_bodies(values, np.repeat([0, 1], 3), np.tile([0, 1, 2], 2))
    deviations, freedom = resample(given, np.log(given.y), 40_000, np.random.default_rng(0))
    assert freedom == pytest.approx(8)
    assert given.means(deviations).var(axis=0) == pytest.approx(np.full(4, 0.25 / 3 * 8 / 6), rel=0.1)


def test_the_same_seed_gives_the_same_interval_and_another_a_similar_one():
    found = fit(ladder(), POWER_FLOOR, num_starts=4)
    first, again, other = (bootstrap(found, num_samples=300, num_starts=2, seed=s) for s in (0, 0, 1))
    assert first.interval("alpha") == again.interval("alpha")
    one, two = first.interval("alpha"), other.interval("alpha")
    assert one != two
    assert abs(one.low - two.low) < 0.5 * (one.high - one.low)
    assert one.low < one.estimate < one.high
    assert "300 bootstrap fits over seeds within rungs" in one.method


def test_band_covers_the_fit_and_widens_outside():
    draws = bootstrap(fit(ladder(), POWER_FLOOR, num_starts=4), num_samples=300, num_starts=2)
    x = np.array([SIZES[2], SIZES[-1], 100 * SIZES[-1]])
    low, high = draws.band(x)
    curve = draws.fit.predict(x)
    assert np.all((low < curve) & (curve < high))
    assert (high / low)[2] > (high / low)[0]


def test_curves_spread_more_beyond_the_ladder_by_the_factor_of_residuals():
    draws = bootstrap(fit(ladder(), POWER_FLOOR, num_starts=4), num_samples=300, num_starts=2)
    x = np.array([SIZES[0], SIZES[-1], 0.99 * SIZES[0], 3 * SIZES[-1]])
    curve, refits = np.log(draws.fit.predict(x)), np.log(draws.fit.predict(x, draws.theta))
    spread = (np.log(draws.curves(x)) - curve) / (refits - curve)
    num = len(draws.fit.target)
    beyond = np.sqrt(num / (num - 3))
    np.testing.assert_allclose(spread, np.broadcast_to([1, 1, beyond, beyond], spread.shape), rtol=1e-6)


def test_rungs_that_scatter_more_than_their_seeds_widen_the_interval():
    rng = np.random.default_rng(0)
    bumps = np.exp(0.1 * np.array([1, -1, 1, -1, 1, -1]))
    y = np.repeat(8 * SIZES**-0.2 * bumps, 4) * np.exp(0.01 * rng.standard_normal(24))
    draws = bootstrap(fit(points(np.repeat(SIZES, 4), y), POWER, num_starts=2), num_samples=200, num_starts=1)
    assert Caution.MISFIT in draws.fit.cautions
    assert draws.misfit > 5
    assert "widened" in draws.method
    assert draws.interval("alpha").excludes(0.2) is False


def test_quantiles_take_infinite_values():
    assert quantiles(np.array([1.0] * 96 + [np.inf] * 4)) == (1.0, np.inf)
    assert quantiles(np.full(10, np.inf)) == (np.inf, np.inf)


@pytest.fixture(scope="module")
def studies():
    path = Path(__file__).parents[2] / "benchmarks" / "fit_studies.py"
    spec = importlib.util.spec_from_file_location("fit_studies", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fit_studies"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fit_studies"]


def covered(study, settings, num):
    inside = []
    for i in range(num):
        bounds, _ = study(np.random.default_rng([7, i]), settings)
        inside.append([low <= truth <= high for truth, low, high in bounds.values()])
    return np.sum(inside, axis=0)


# The full measurement, 500 studies of every form, is benchmarks/fits.md.
SHORT = {
    "power, 5 sizes x 3 seeds": 40,
    "power-floor, 5 sizes x 3 seeds": 40,
    "saturating, 6 sizes x 5 seeds": 30,
    "saturating-ceiling, 6 sizes x 5 seeds": 30,
    "broken, 10 sizes x 3 seeds": 10,
    "joint, 5 x 4 cells x 3 seeds": 15,
    "iso-FLOP, 4 budgets x 5 sizes x 3 seeds": 100,
}


@pytest.mark.parametrize("name", SHORT)
def test_intervals_hold_the_truth_as_often_as_they_say(studies, name):
    num = SHORT[name]
    settings = studies.Settings(num_samples=200, num_starts=1)
    # If the true coverage is 92 % or more, fewer than this happens once in a thousand (per quantity).
    assert covered(studies.FORM_SCENARIOS[name], settings, num).min() >= stats.binom.ppf(1e-3, num, 0.92)
