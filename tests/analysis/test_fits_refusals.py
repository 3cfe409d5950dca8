"""Each reason not to draw a line, on data that show it."""

from dataclasses import replace

import numpy as np
import pytest

from analysis import estimates
from analysis.estimates import Estimate, estimate
from analysis.fits import Caution, fit
from analysis.fits_bootstrap import bootstrap
from analysis.forms import BROKEN, CEILING, JOINT, POWER, POWER_FLOOR, SATURATING
from analysis.ladders import points
from analysis.refusals import Reason, Refusal, before, of_draws, of_fit
from study.errors import UserError

SIZES = np.logspace(6, 9.2, 6)


def runs(y, x=SIZES, num_seeds=3, spread=0.02, seed=0, **given):
    rng = np.random.default_rng(seed)
    noisy = np.repeat(y, num_seeds) * np.exp(spread * rng.standard_normal(len(y) * num_seeds))
    return points(np.repeat(x, num_seeds, axis=0), noisy, of="init random", **given)


def law(x=SIZES):
    return 0.08 + 30 * x**-0.3


def refused(ladder, form):
    found = estimate(ladder, form, num_samples=200, num_starts=2)
    assert isinstance(found, Refusal)
    assert "\n" not in found.sentence
    assert found.sentence.endswith(".")
    return found.reason, found.sentence


def test_a_law_that_the_data_carry_is_not_refused():
    found = estimate(runs(law(), chance=0.9), POWER_FLOOR, num_samples=200, num_starts=2)
    assert isinstance(found, Estimate)
    assert found.cautions == ()
    table = estimates.table(found)
    assert table["parameter"].tolist() == ["E", "A", "alpha"]
    assert np.all((table["low"] < table["estimate"]) & (table["estimate"] < table["high"]))
    assert (table["num_rungs"].iloc[0], table["num_runs"].iloc[0], table["min_seeds"].iloc[0]) == (6, 18, 3)


def test_too_few_sizes():
    reason, sentence = refused(runs(law(SIZES[:3]), SIZES[:3]), POWER)
    assert reason is Reason.FEW_SIZES
    assert sentence == "init random: 3 values of x, and a curve needs at least 4."
    reason, sentence = refused(runs(law(SIZES[:5]), SIZES[:5]), BROKEN)
    assert reason is Reason.FEW_SIZES
    assert "5 rungs for the 5 parameters of broken, which needs at least 6" in sentence


def test_too_few_sizes_on_one_axis_of_a_joint_law():
    x = np.array([(n, d) for n in SIZES for d in (1e8, 1e9, 1e10)])
    reason, sentence = refused(runs(1 + 30 * x[:, 0] ** -0.3 + 50 * x[:, 1] ** -0.3, x), JOINT)
    assert (reason, "3 values of x2" in sentence) == (Reason.FEW_SIZES, True)


def test_too_few_seeds_or_bodies():
    reason, sentence = refused(runs(law(), num_seeds=2), POWER_FLOOR)
    assert reason is Reason.FEW_SEEDS
    assert "6 of 6 rungs have fewer than 3 seeds, the one at x 1e+06 has 2" in sentence
    six = runs(law(), num_seeds=6)
    bodies = replace(six, body_seed=np.tile([0, 0, 0, 1, 1, 1], 6))
    reason, sentence = refused(bodies, POWER_FLOOR)
    assert (reason, "fewer than 3 body seeds" in sentence) == (Reason.FEW_SEEDS, True)


def test_nothing_left_to_scale():
    y = law()
    y[-2:] = 0.0
    reason, sentence = refused(runs(y), POWER)
    assert reason is Reason.END_OF_SCALE
    assert "2 of 6 rungs are at the end of the log scale" in sentence
    assert "give the resolution" in sentence
    reason, sentence = refused(runs(y, resolution=1e-3), POWER)  # whole rungs without an error
    assert (reason, "leave those sizes out" in sentence) == (Reason.END_OF_SCALE, True)
    assert before(runs(np.array([1.2, 0.8, 0.6, 0.4, 0.3, 0.2])), SATURATING).reason is Reason.END_OF_SCALE


def test_at_chance():
    y = np.array([0.5, 0.5, 0.5, 0.499, 0.40, 0.30])
    reason, sentence = refused(runs(y, spread=0.01, seed=1, chance=0.5), POWER)
    assert reason is Reason.AT_CHANCE
    assert "2 of 6 rungs do better than chance (y 0.5)" in sentence
    assert before(runs(y, spread=0.01), POWER) is None  # a loss has no chance level
    assert before(runs(np.array([0.5, 0.45, 0.4, 0.35, 0.3, 0.25]), spread=0.01, chance=0.5), POWER) is None


@pytest.mark.parametrize("form", [POWER, SATURATING], ids=lambda form: form.name)
def test_rises_beyond_the_noise(form):
    y = law()
    y[3] *= 1.8
    reason, sentence = refused(runs(y), form)
    assert reason is Reason.NOT_MONOTONE
    assert "rises from" in sentence
    assert "more than the seeds' spread explains" in sentence
    y[3] = y[2] * 1.005
    assert before(runs(y), form) is None  # within the noise


def test_a_joint_ladder_rises_only_where_both_inputs_grow():
    x = np.array([(n, d) for n in SIZES[:4] for d in np.logspace(8, 11, 4)])
    y = 1 + 30 * x[:, 0] ** -0.3 + 500 * x[:, 1] ** -0.3
    assert before(runs(y, x), JOINT) is None  # more parameters with fewer examples may well be worse
    y[-1] *= 1.5
    assert before(runs(y, x), JOINT).reason is Reason.NOT_MONOTONE


def test_fit_at_a_bound_names_the_simpler_form():
    bends_down = 0.9 * np.exp(-0.02 * (np.log(SIZES) - np.log(SIZES[0])) ** 2)
    reason, sentence = refused(runs(bends_down), POWER_FLOOR)
    assert reason is Reason.AT_BOUND
    assert sentence == "init random: E = 0 is the end of what is allowed; try the form power."
    log_odds = 0.3 * np.log(SIZES / 1e6) + 0.01 * np.log(SIZES / 1e6) ** 2  # still steepening: no ceiling in sight
    reason, sentence = refused(runs(1 / (1 + np.exp(log_odds)), spread=0.005), CEILING)
    assert (reason, "c = 1" in sentence) == (Reason.AT_BOUND, True)


def test_interval_wider_than_a_decade():
    nearly_flat = 0.3 * SIZES**-0.003
    reason, sentence = refused(runs(nearly_flat, spread=0.05, seed=2), POWER)
    assert reason is Reason.TOO_WIDE
    assert "alpha lies anywhere from" in sentence


def test_no_convergence():
    draws = bootstrap(fit(runs(law()), POWER_FLOOR, num_starts=2), num_samples=100, num_starts=1)
    assert of_fit(draws.fit) is None and of_draws(draws) is None
    lost = replace(draws, theta=draws.theta[:90])
    assert of_draws(lost).reason is Reason.NO_CONVERGENCE
    assert "10% of the bootstrap fits did not converge" in of_draws(lost).sentence
    stuck = replace(draws.fit, is_converged=False)
    assert "the best of 2 starts did not converge" in of_fit(stuck).sentence
    assert of_fit(stuck).fit is stuck


def test_rungs_at_chance_below_the_law_are_a_caution():
    y = np.minimum(0.9, 20 * SIZES**-0.22)
    ladder = runs(y, spread=0.01, chance=0.9)
    found = estimate(ladder, POWER, num_samples=100, num_starts=1)
    assert Caution.SOME_AT_CHANCE in found.cautions
    assert "no better than chance" in estimates.table(found)["cautions"].iloc[0]


def test_a_refusal_is_a_row_of_the_table():
    row = estimates.table(estimate(runs(law(SIZES[:3]), SIZES[:3]), POWER)).iloc[0]
    assert row["refused"] == "too few sizes"
    assert row["form"] == "power"
    assert row["why"].startswith("init random: 3 values")


def test_a_form_for_other_inputs_is_the_users_mistake():
    with pytest.raises(UserError, match="joint takes 2 inputs"):
        estimate(runs(law()), JOINT)
