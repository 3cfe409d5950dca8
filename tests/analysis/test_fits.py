"""Point fits: against laws without noise, SciPy's own curve fitting, and the published Chinchilla replication."""

import numpy as np
import pytest
from scipy import optimize

from analysis.fits import HOFFMANN_DELTA, Caution, fit, minimise, noise_of, prepare, starts
from analysis.fits_batch import huber
from analysis.forms import BROKEN, CEILING, JOINT, POWER, POWER_FLOOR, SATURATING
from analysis.ladders import points
from study.errors import UserError

SIZES = np.logspace(6, 9.2, 6)
# Besiroglu et al. 2024 (arXiv 2404.10102), table 1: estimates and their bootstrap standard errors.
CHINCHILLA = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
CHINCHILLA_SE = {"E": 0.03, "A": 124.58, "B": 1293.23, "alpha": 0.02, "beta": 0.02}


def floor_law(x, floor=0.08, factor=30.0, alpha=0.3):
    return floor + factor * x**-alpha


def noisy(y, spread, num_seeds, seed=0):
    rng = np.random.default_rng(seed)
    return np.repeat(y, num_seeds) * np.exp(spread * rng.standard_normal(len(y) * num_seeds))


@pytest.fixture(scope="module")
def chinchilla_design():
    """240 runs, as many as the replication kept, of 70 M to 16 B parameters on 5 B to 500 B tokens (its introduction).

    They lie along nine budgets from 6e18 to 3e21 FLOP, as those of Hoffmann et al. 2022 do (their figure 3).
    """
    budgets, sizes = np.geomspace(6e18, 3e21, 9), np.geomspace(7e7, 1.6e10, 60)
    pairs = [(n, c / (6 * n)) for c in budgets for n in sizes if 5e9 < c / (6 * n) < 5e11]
    assert len(pairs) >= 240
    return np.array(pairs)[np.linspace(0, len(pairs) - 1, 240).astype(int)]


def chinchilla_loss(x):
    p = CHINCHILLA
    return p["E"] + p["A"] * x[:, 0] ** -p["alpha"] + p["B"] * x[:, 1] ** -p["beta"]


TRUE = {
    POWER: (SIZES, lambda x: 8 * x**-0.2, {"A": 8, "alpha": 0.2}),
    POWER_FLOOR: (SIZES, floor_law, {"E": 0.08, "A": 30, "alpha": 0.3}),
    SATURATING: (SIZES, lambda x: 1 - 1 / (1 + (3e7 / x) ** 0.6), {"m": 3e7, "k": 0.6}),
    CEILING: (SIZES, lambda x: 1 - 0.8 / (1 + (1e7 / x) ** 0.9), {"m": 1e7, "k": 0.9, "c": 0.8}),
    BROKEN: (
        np.logspace(2, 6, 12),
        lambda x: 1.2 * x**-0.1 * (1 + (x / 3e3) ** (1 / 0.3)) ** (-0.4 * 0.3),
        {"A": 1.2, "a": 0.1, "b": 0.5, "d": 3e3, "w": 0.3},
    ),
}


@pytest.mark.parametrize("form", TRUE, ids=lambda form: form.name)
@pytest.mark.parametrize("delta", [None, 0.05], ids=["hoffmann", "wide"])
def test_a_law_without_noise_is_found_exactly(form, delta):
    x, law, truth = TRUE[form]
    found = fit(points(x, law(x)), form, delta=delta, num_starts=8)
    assert found.delta == (delta or HOFFMANN_DELTA)  # no replicates, no estimate of noise
    assert found.parameters == pytest.approx(truth, rel=1e-3)
    assert found.is_converged
    assert found.num_agreed >= 4
    assert found.at_bound == ()
    assert found.predict(x) == pytest.approx(law(x), rel=1e-5)


def test_least_squares_agree_with_scipy_curve_fit():
    y = noisy(floor_law(SIZES), 0.03, 4)
    x = np.repeat(SIZES, 4)
    found = fit(points(x, y), POWER_FLOOR, delta=10.0)
    reference = optimize.curve_fit(
        lambda x, e, a, b: np.log(e + np.exp(a) * x**-b), x, np.log(y), p0=[0.05, 3, 0.25], xtol=1e-14, ftol=1e-14
    )[0]
    assert found.parameters["E"] == pytest.approx(reference[0], rel=1e-5)
    assert found.parameters["A"] == pytest.approx(np.exp(reference[1]), rel=1e-4)
    assert found.parameters["alpha"] == pytest.approx(reference[2], rel=1e-5)
    assert found.objective == pytest.approx(0.5 * float((found.residuals**2).sum()))


def test_huber_agrees_with_scipy_least_squares():
    y = noisy(floor_law(SIZES), 0.05, 4, seed=3)
    y[5] *= 1.6
    x = np.repeat(SIZES, 4)
    found = fit(points(x, y), POWER_FLOOR, delta=0.05)

    def residuals(p):
        return np.log(p[0] + np.exp(p[1]) * x ** -p[2]) - np.log(y)

    reference = optimize.least_squares(
        residuals, [0.05, 3, 0.25], bounds=([0, -5, 0], [0.1, 9, 1]), loss="huber", f_scale=0.05, xtol=1e-14, ftol=1e-14
    )
    assert found.objective == pytest.approx(reference.cost, rel=1e-6)
    assert found.parameters["alpha"] == pytest.approx(reference.x[2], rel=1e-4)


def test_an_outlier_moves_a_robust_fit_little():
    x, y = np.repeat(SIZES, 4), noisy(floor_law(SIZES), 0.02, 4)
    clean = fit(points(x, y), POWER_FLOOR).parameters["alpha"]
    y[-1] *= 3
    robust, squares = (fit(points(x, y), POWER_FLOOR, delta=d).parameters["alpha"] for d in (None, 10.0))
    assert abs(robust - clean) < 0.1 * abs(squares - clean)


def test_units_of_x_and_y_only_scale_the_parameters():
    x, y = np.repeat(SIZES, 3), noisy(floor_law(SIZES), 0.03, 3)
    one, other = fit(points(x, y), POWER_FLOOR), fit(points(x / 1e6, 100 * y), POWER_FLOOR)
    alpha = one.parameters["alpha"]
    assert other.parameters["alpha"] == pytest.approx(alpha, rel=1e-6)
    assert other.parameters["E"] == pytest.approx(100 * one.parameters["E"], rel=1e-5)
    assert other.parameters["A"] == pytest.approx(100 * one.parameters["A"] * 1e-6**alpha, rel=1e-5)


def test_threshold_follows_the_noise_of_the_seeds():
    found = []
    for seed in range(20):
        ladder = points(np.repeat(SIZES, 3), noisy(floor_law(SIZES), 0.04, 3, seed))
        found.append(noise_of(ladder, np.log(ladder.y)))
    assert np.mean(found) == pytest.approx(0.04, rel=0.15)
    assert fit(ladder, POWER, num_starts=2).delta == pytest.approx(1.345 * found[-1])
    assert noise_of(points(SIZES, floor_law(SIZES)), np.log(floor_law(SIZES))) is None


def test_chinchilla_without_noise(chinchilla_design):
    found = fit(points(chinchilla_design, chinchilla_loss(chinchilla_design)), JOINT, num_starts=8)
    assert found.parameters == pytest.approx(CHINCHILLA, rel=2e-3)


def test_chinchilla_is_recovered_within_its_published_standard_errors(chinchilla_design):
    """Runs that scatter by a quarter of a percent of their loss, Hoffmann's delta: all parameters of five data sets."""
    rng = np.random.default_rng(0)
    loss = chinchilla_loss(chinchilla_design)
    for _ in range(5):
        runs = loss * np.exp(0.0025 * rng.standard_normal(len(loss)))
        found = fit(points(chinchilla_design, runs), JOINT, delta=HOFFMANN_DELTA, num_starts=4).parameters
        off = {name: abs(found[name] - CHINCHILLA[name]) / error for name, error in CHINCHILLA_SE.items()}
        assert max(off.values()) < 1, off


def test_the_known_way_to_stop_early_is_avoided(chinchilla_design):
    """The mean of raw Huber losses meets L-BFGS-B's default tolerances far from the minimum; ours does not."""
    rng = np.random.default_rng(1)
    runs = chinchilla_loss(chinchilla_design) * np.exp(0.005 * rng.standard_normal(len(chinchilla_design)))
    data = prepare(points(chinchilla_design, runs), JOINT)
    begin = starts(JOINT, data.z, data.target[None], 3)[0]
    ours = [minimise(JOINT, data.z, data.target, theta, HOFFMANN_DELTA).fun for theta in begin]

    def mean_loss(theta):
        value, slopes = JOINT.curve(theta[None], data.z)
        loss, slope = huber(value[0] - data.target, HOFFMANN_DELTA)
        return float(loss) / len(runs), slope @ slopes[0] / len(runs)

    limits = optimize.Bounds(*JOINT.bounds(data.z))
    naive = [optimize.minimize(mean_loss, theta, jac=True, method="L-BFGS-B", bounds=limits) for theta in begin]
    assert all(end.success for end in naive)  # it stops early and says that all is well
    excess = [end.fun * len(runs) / min(ours) - 1 for end in naive]
    assert min(excess) > 0.001
    assert max(ours) / min(ours) - 1 < 1e-4


def test_cautions_name_bounds_clipping_and_lost_runs():
    rising = fit(points(SIZES, SIZES**0.1), POWER, num_starts=4)
    assert rising.at_bound == ("alpha",)
    assert Caution.AT_BOUND in rising.cautions
    clipped = fit(points([*SIZES, SIZES[0]], [*floor_law(SIZES), 0.0], resolution=1e-3), POWER, num_starts=4)
    assert Caution.CLIPPED in clipped.cautions


def test_what_cannot_be_fitted_is_refused_in_one_line():
    ladder = points(SIZES, floor_law(SIZES))
    with pytest.raises(UserError, match="joint takes 2 inputs, the ladder has 1"):
        fit(ladder, JOINT)
    with pytest.raises(UserError, match="1 of 7 runs have y at the end of the log scale; give the resolution"):
        fit(points([*SIZES, 1e7], [*floor_law(SIZES), 0.0]), POWER)
    with pytest.raises(UserError, match="must be positive"):
        fit(ladder, POWER, delta=-1.0)
    with pytest.raises(UserError, match="3 parameters, points only 2 runs"):
        fit(points(SIZES[:2], floor_law(SIZES[:2])), POWER_FLOOR)
