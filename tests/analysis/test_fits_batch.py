"""Thousands of fits at once: the same minima as SciPy's, from the same starts."""

import time

import numpy as np
import pytest

from analysis.fits import fit, minimise, starts
from analysis.fits_batch import fit_batch, huber
from analysis.fits_bootstrap import bootstrap
from analysis.forms import CEILING, FORMS, POWER_FLOOR
from analysis.ladders import points

PARAMETERS = {
    "power": [0.0, 0.3], "power-floor": [0.1, -0.4, 0.4], "joint": [0.2, -1.0, -1.0, 0.4, 0.3],
    "broken": [0.0, 0.1, 0.6, 0.3, 0.3], "saturating": [0.5, 0.7], "saturating-ceiling": [-0.5, 0.9, 0.8],
}  # fmt: skip


def problem(form, num=12, spread=0.04):
    rng = np.random.default_rng(5)
    z = rng.uniform(-4, 4, (36, form.num_inputs))
    truth = form.curve(np.array([PARAMETERS[form.name]]), z)[0]
    return z, truth + spread * rng.standard_normal((num, 36))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("delta", [0.05, 1e-3])
def test_minima_are_scipys(name, delta):
    form = FORMS[name]
    z, targets = problem(form, num=4)
    begin = starts(form, z, targets, 3)
    batch = fit_batch(form, z, targets, begin, delta=delta)
    reference = [min(minimise(form, z, t, s, delta).fun for s in row) for t, row in zip(targets, begin, strict=True)]
    assert np.all(batch.objective <= np.array(reference) * (1 + 1e-4))
    residuals = form.curve(batch.theta, z)[0] - targets
    assert huber(residuals, delta)[0] == pytest.approx(batch.objective)


def test_huber_by_hand():
    loss, slope = huber(np.array([0.1, -0.3, 0.2]), 0.2)
    assert loss == pytest.approx(0.005 + 0.2 * (0.3 - 0.1) + 0.02)
    assert slope == pytest.approx([0.1, -0.2, 0.2])


def test_bounds_hold_and_the_rest_is_still_best():
    x = np.linspace(-2, 2, 20)[:, None]
    target = -0.3 * x[:, 0][None]  # a pure power law: the floor ends at zero
    batch = fit_batch(POWER_FLOOR, x, target, starts(POWER_FLOOR, x, target, 6), delta=0.1)
    assert batch.theta[0] == pytest.approx([0.0, 0.0, 0.3], abs=1e-5)
    assert batch.theta[0, 0] >= 0


def test_rows_do_not_depend_on_their_neighbours():
    z, targets = problem(CEILING)
    begin = starts(CEILING, z, targets, 2)
    together = fit_batch(CEILING, z, targets, begin, delta=0.05)
    alone = fit_batch(CEILING, z, targets[3:4], begin[3:4], delta=0.05)
    assert together.theta[3] == pytest.approx(alone.theta[0], rel=1e-6)


def test_a_thousand_samples_from_eight_starts_take_under_a_minute():
    form = POWER_FLOOR
    rng = np.random.default_rng(0)
    x = np.logspace(6, 9.2, 6)
    y = form.scale.back(form.curve(np.array([PARAMETERS[form.name]]), np.log(x / x.mean())[:, None])[0][0])
    runs = form.scale.back(form.scale.of(np.repeat(y, 5)) + 0.03 * rng.standard_normal(30))
    found = fit(points(np.repeat(x, 5), runs), form, num_starts=4)
    start = time.process_time()
    draws = bootstrap(found, num_samples=1000, num_starts=8)
    assert time.process_time() - start < 30  # of one core, for 60 s on two; about 1 s where it was written
    assert len(draws.theta) == 1000
    assert abs(draws.worst_gap) < 1e-4
