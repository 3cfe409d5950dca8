import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from analysis.forms import FORMS, Scale, form_named
from study.errors import UserError

# Each formula as its docstring and papers have it, in the ladder's own units, parameters by name.
PLAIN = {
    "power": lambda p, x: p["A"] * x[0] ** -p["alpha"],
    "power-floor": lambda p, x: p["E"] + p["A"] * x[0] ** -p["alpha"],
    "joint": lambda p, x: p["E"] + p["A"] * x[0] ** -p["alpha"] + p["B"] * x[1] ** -p["beta"],
    "broken": lambda p, x: (
        p["A"] * x[0] ** -p["a"] * (1 + (x[0] / p["d"]) ** (1 / p["w"])) ** (-(p["b"] - p["a"]) * p["w"])
    ),
    "saturating": lambda p, x: 1 - 1 / (1 + (p["m"] / x[0]) ** p["k"]),
    "saturating-ceiling": lambda p, x: 1 - p["c"] / (1 + (p["m"] / x[0]) ** p["k"]),
}
CENTRE, LOG_UNIT = np.log([3e4, 2e6]), np.log(0.4)


def some_theta(form, unit):
    low, high = form.bounds(np.array([[-3.0] * form.num_inputs, [3.0] * form.num_inputs]))
    return np.clip(low, -2, 3) + np.asarray(unit)[: len(low)] * (np.clip(high, -2, 3) - np.clip(low, -2, 3))


UNIT = st.lists(st.floats(0.05, 0.95), min_size=5, max_size=5)


@pytest.mark.parametrize("name", FORMS)
@given(unit=UNIT, z=st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
@settings(deadline=None, max_examples=40)
def test_curve_is_the_formula_with_the_reported_parameters(name, unit, z):
    form = FORMS[name]
    theta, z = some_theta(form, unit), np.array(z)[: form.num_inputs]
    log_unit = LOG_UNIT if form.scale is Scale.LOG else 0.0
    value = form.curve(theta[None], z[None])[0] + (log_unit if form.scale is Scale.LOG else 0.0)
    reported = {k: v[0] for k, v in form.reported(theta[None], CENTRE, log_unit).items()}
    plain = PLAIN[name](reported, np.exp(z + CENTRE[: form.num_inputs]))
    assert form.scale.back(value)[0, 0] == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("name", FORMS)
@given(unit=UNIT)
@settings(deadline=None, max_examples=25)
def test_gradient_agrees_with_finite_differences(name, unit):
    form = FORMS[name]
    theta, z = some_theta(form, unit), np.random.default_rng(0).normal(0, 2, (6, form.num_inputs))
    slopes = form.curve(theta[None], z)[1][0]
    numeric = optimize.approx_fprime(theta, lambda t: form.curve(t[None], z)[0][0], 1e-7)
    assert slopes == pytest.approx(numeric, rel=2e-4, abs=2e-5)


@pytest.mark.parametrize("name", FORMS)
def test_starts_lie_within_bounds_and_are_finite(name):
    form, rng = FORMS[name], np.random.default_rng(1)
    z = rng.normal(0, 2, (8, form.num_inputs))
    target = rng.normal(0, 0.5, (3, 8))
    theta = form.start(rng.random((20, len(form.parameters))), z, target)
    low, high = form.bounds(z)
    assert theta.shape == (3, 20, len(form.parameters))
    assert np.all((theta >= low - 1e-12) & (theta <= high + 1e-12))


@pytest.mark.parametrize("scale", Scale)
def test_scale_and_its_slope(scale):
    y = np.array([0.03, 0.5, 0.97])
    assert scale.back(scale.of(y)) == pytest.approx(y)
    step = 1e-6
    slope = (scale.of(y + step) - scale.of(y - step)) / (2 * step)
    assert scale.log_slope(y) == pytest.approx(np.log(np.abs(slope)), abs=1e-6)


def test_every_parameter_says_why_it_is_bounded():
    for form in FORMS.values():
        assert all(parameter.reason and parameter.unit for parameter in form.parameters)
        assert form.simpler is None or form.simpler in FORMS
        assert form.min_rungs >= 4


def test_unknown_form_names_the_near_one():
    with pytest.raises(UserError, match="did you mean power"):
        form_named("powr")
