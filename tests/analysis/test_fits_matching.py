"""How many times more, with censoring; ratios of exponents; where to spend compute."""

import numpy as np
import pytest
from scipy import optimize

from analysis.estimates import estimate
from analysis.forms import JOINT, POWER, POWER_FLOOR
from analysis.frontier import frontier
from analysis.isoflop import IsoFlop, isoflop
from analysis.ladders import points
from analysis.matching import Censoring, exponent_ratio, match
from analysis.refusals import Reason
from study.errors import UserError

SIZES = np.logspace(6, 9, 6)


def law(y, of, x=SIZES, num_seeds=4, spread=0.02, seed=0, form=POWER):
    rng = np.random.default_rng(seed)
    noisy = np.repeat(y, num_seeds) * np.exp(spread * rng.standard_normal(len(y) * num_seeds))
    return estimate(points(np.repeat(x, num_seeds, axis=0), noisy, of=of), form, num_samples=300, num_starts=2)


@pytest.fixture(scope="module")
def random():
    return law(8 * SIZES**-0.2, "random")


@pytest.fixture(scope="module")
def pretrained():
    return law(4 * SIZES**-0.2, "pretrained", seed=1)  # 2 = factor^0.2: random needs 32 times as much


def test_ratio_of_exponents(random):
    steeper = law(8 * SIZES**-0.3, "pretrained", seed=2)
    ratio = exponent_ratio(steeper, random)
    assert ratio.estimate == pytest.approx(1.5, rel=0.05)
    assert ratio.low < 1.5 < ratio.high
    assert ratio.high - ratio.low < 0.2
    assert ratio.of == "alpha of pretrained over alpha of random"
    with pytest.raises(UserError, match="unknown parameter 'beta'"):
        exponent_ratio(steeper, random, name="beta")


def test_factor_that_the_range_shows(random, pretrained):
    found = match(random, pretrained, at=3e6)
    assert found.censoring is Censoring.NONE
    assert found.low < 32 < found.high
    assert found.factor == pytest.approx(32, rel=0.3)
    assert found.share_reached == 1
    assert found.sentence.startswith(
        f"random needs {found.factor:.3g} times the x of pretrained at 3e+06 (95% interval"
    )
    # The crossing itself, by a root finder on the two curves.
    root = optimize.brentq(lambda u: random.fit.predict([np.exp(u)])[0] - found.y, np.log(1e6), np.log(1e9))
    assert found.factor * 3e6 == pytest.approx(np.exp(root), rel=1e-4)


def test_factor_beyond_the_range_is_a_bound(random, pretrained):
    found = match(random, pretrained, at=3e8)
    assert found.censoring is Censoring.MORE
    assert found.factor is None
    assert found.high is None
    assert found.low == pytest.approx(1e9 / 3e8)
    assert found.sentence == (
        "random needs more than 3.33 times the x of pretrained at 3e+08: not reached within its range "
        "(95% interval over 3.33)."
    )


def test_factor_partly_censored(random, pretrained):
    found = match(random, pretrained, at=1e9 / 32)  # about half of the samples get there
    assert 0.02 < found.share_reached < 0.98
    assert found.low < 32
    assert found.high is None


def test_reading_beyond_the_rungs_is_asked_for(random, pretrained):
    found = match(random, pretrained, at=3e8, beyond=100)
    assert found.factor == pytest.approx(32, rel=0.4)


def test_a_better_ladder_is_there_before_its_range_begins(random, pretrained):
    found = match(pretrained, random, at=2e6)
    assert found.censoring is Censoring.LESS
    assert (found.factor, found.low) == (None, None)
    assert found.high == pytest.approx(0.5)
    assert "needs less than 0.5 times" in found.sentence


def test_a_floor_above_is_never_matched(pretrained):
    stuck = law(0.3 + 8 * SIZES**-0.2, "random", form=POWER_FLOOR, spread=0.005)
    found = match(stuck, pretrained, at=1e8, beyond=1e6)
    assert (found.factor, found.high, found.share_reached) == (None, None, 0)


def test_ladders_that_do_not_compare_are_refused(random, pretrained):
    with pytest.raises(UserError, match=r"outside pretrained \(1e\+06 to 1e\+09\)"):
        match(random, pretrained, at=1e10)


@pytest.fixture(scope="module")
def joint():
    x = np.array([(n, d) for n in np.logspace(6, 9, 5) for d in np.logspace(8, 11, 4)])
    return law(0.5 + 200 * x[:, 0] ** -0.35 + 400 * x[:, 1] ** -0.3, "all", x, 3, 0.01, form=JOINT)


def test_frontier_is_the_minimum_along_the_budget(joint):
    k, flops = 7.3, 1e18
    found = frontier(joint, flops_per_product=k).at(flops)
    assert found["N"].estimate * found["D"].estimate * k == pytest.approx(flops)
    best = optimize.minimize_scalar(
        lambda u: joint.fit.predict([[np.exp(u), flops / k / np.exp(u)]])[0], bounds=(10, 30), method="bounded"
    )
    assert np.log(found["N"].estimate) == pytest.approx(best.x, abs=1e-3)
    assert found["y"].estimate == pytest.approx(best.fun, rel=1e-9)
    assert found["a"].low < 0.3 / 0.65 < found["a"].high
    assert found["a"].estimate + found["b"].estimate == pytest.approx(1)


def test_frontier_table_follows_its_exponents(joint):
    table = frontier(joint, flops_per_product=6.0).table(np.array([1e16, 1e18]))
    a = frontier(joint, flops_per_product=6.0).at(1e16)["a"].estimate
    assert table["N"].iloc[1] / table["N"].iloc[0] == pytest.approx(100**a)
    assert np.all((table["N_low"] < table["N"]) & (table["N"] < table["N_high"]))


def test_frontier_needs_a_joint_law_and_a_measured_cost(joint, random):
    with pytest.raises(UserError, match="needs the form joint, got power"):
        frontier(random, flops_per_product=6.0)
    with pytest.raises(UserError, match="must be positive"):
        frontier(joint, flops_per_product=0.0)


def budgets(shift=1.0, num_sizes=5, num_budgets=4):
    rows = [
        (c, 0.1 * c**0.5 * s * shift, (c / 1e16) ** -0.05 + 0.02 * np.log(s * shift) ** 2)
        for c in np.logspace(16, 18, num_budgets)
        for s in np.geomspace(1 / 8, 8, num_sizes)
    ]
    values = np.repeat(np.array(rows), 3, axis=0)
    noise = np.exp(0.005 * np.random.default_rng(0).standard_normal(len(values)))
    return points(values[:, :2], values[:, 2] * noise)


def test_parabolas_find_the_best_size_of_each_budget():
    found = isoflop(budgets(), num_samples=300)
    assert isinstance(found, IsoFlop)
    assert found.exponent.low < 0.5 < found.exponent.high
    assert found.best_size == pytest.approx(0.1 * found.budgets**0.5, rel=0.15)
    assert found.coefficient * found.budgets**found.exponent.estimate == pytest.approx(found.best_size, rel=0.15)
    ladder = budgets()
    on = ladder.x[:, 0] == ladder.x[0, 0]
    by_hand = np.polyfit(np.log(ladder.x[on, 1]) - found.centres[0], ladder.means(ladder.y)[on], 2)[::-1]
    assert found.coefficients[0] == pytest.approx(by_hand, rel=1e-6)


def test_a_budgets_interval_has_the_freedom_of_its_own_runs():
    found = isoflop(budgets(), num_samples=300)

    def freedom(interval):
        return float(interval.method.split("corrected with ")[1].split(" ")[0])

    # Five sizes with three seeds each have ten degrees of freedom at most, four budgets of them forty.
    assert all(freedom(one) <= 10 for one in found.size_intervals) and 10 < freedom(found.exponent) <= 40


def test_parabolas_that_show_no_minimum_are_refused():
    assert isoflop(budgets(shift=40.0)).reason is Reason.AT_BOUND
    assert "the best size is not between" in isoflop(budgets(shift=40.0)).sentence
    assert isoflop(budgets(num_sizes=3)).reason is Reason.FEW_SIZES
    assert isoflop(budgets(num_budgets=2)).reason is Reason.FEW_SIZES
    with pytest.raises(UserError, match=r"over \(budget, size\), got x"):
        isoflop(points(SIZES, SIZES**-0.1))
