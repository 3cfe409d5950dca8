"""Predictions of what was left out, and forms side by side."""

import numpy as np
import pytest

from analysis.extrapolation import Extrapolation, compare, leave_largest_out, leave_one_out
from analysis.fits import fit
from analysis.forms import BROKEN, JOINT, POWER, POWER_FLOOR, SATURATING
from analysis.ladders import points
from analysis.refusals import Reason, Refusal
from study.errors import UserError

SIZES = np.logspace(6, 9.2, 6)


def runs(y, x=SIZES, num_seeds=4, spread=0.02, seed=0):
    rng = np.random.default_rng(seed)
    noisy = np.repeat(y, num_seeds) * np.exp(spread * rng.standard_normal(len(y) * num_seeds))
    return points(np.repeat(x, num_seeds, axis=0), noisy)


def test_the_largest_rung_is_predicted_from_the_others():
    ladder = runs(0.08 + 30 * SIZES**-0.3)
    found = leave_largest_out(ladder, POWER_FLOOR, num_samples=300)
    assert isinstance(found, Extrapolation)
    assert found.x.tolist() == pytest.approx([SIZES[-1]])
    assert found.num_rungs == 5
    assert found.fit.ladder.x.max() == pytest.approx(SIZES[-2])
    by_hand = fit(points(np.repeat(SIZES[:5], 4), ladder.y[:20]), POWER_FLOOR).predict([SIZES[-1]])[0]
    assert found.predicted == pytest.approx(by_hand, rel=1e-4)
    assert found.observed == pytest.approx(np.exp(np.log(ladder.y[20:]).mean()))
    assert found.error == pytest.approx(found.predicted - found.observed)
    assert found.relative_error == pytest.approx(found.predicted / found.observed - 1)
    assert found.low < found.predicted < found.high
    assert found.is_inside


def test_a_law_that_ends_is_caught_at_the_largest_rung():
    y = 8 * SIZES**-0.2
    y[-1] *= 1.3  # it stops falling
    found = leave_largest_out(runs(y), POWER, num_samples=300)
    assert not found.is_inside
    assert found.relative_error == pytest.approx(1 / 1.3 - 1, abs=0.04)


def test_the_largest_of_two_inputs_is_the_farthest_corner():
    x = np.array([(n, d) for n in SIZES[:4] for d in np.logspace(8, 11, 4)])
    found = leave_largest_out(runs(0.5 + 200 * x[:, 0] ** -0.35 + 400 * x[:, 1] ** -0.3, x), JOINT, num_samples=50)
    assert found.x.tolist() == pytest.approx([SIZES[3], 1e11])


def test_every_rung_left_out_in_turn():
    y = 8 * SIZES**-0.2
    exact = leave_one_out(points(SIZES, y), POWER)
    assert exact["predicted"].tolist() == pytest.approx(y.tolist(), rel=1e-5)
    assert exact["is_end"].tolist() == [True, False, False, False, False, True]
    y[2] *= 1.5
    assert leave_one_out(points(SIZES, y), POWER)["relative_error"].abs().idxmax() == 2


def test_the_true_form_wins_by_both_criteria():
    found = compare(runs(0.08 + 30 * SIZES**-0.3), [POWER, POWER_FLOOR, SATURATING])
    assert found["form"].iloc[0] == "power-floor"
    assert found["cv_error"].idxmin() == 0
    assert found["delta_aicc"].iloc[0] == 0
    assert found["weight"].sum() == pytest.approx(1)
    assert found["delta_aicc"].iloc[1] > 10


def test_aicc_prefers_the_simpler_of_two_that_fit_and_does_not_depend_on_the_scale():
    rng = np.random.default_rng(4)
    odds = 0.5 * np.log(SIZES / 3e7)
    y = 1 / (1 + np.exp(np.repeat(odds, 4) + 0.1 * rng.standard_normal(24)))
    found = compare(points(np.repeat(SIZES, 4), y), [POWER, SATURATING, POWER_FLOOR])
    assert found["form"].iloc[0] == "saturating"
    # The normal likelihood on the logit scale, carried to y by hand.
    by_hand = fit(points(np.repeat(SIZES, 4), y), SATURATING, delta=1e3, num_starts=4)
    variance = np.mean(by_hand.residuals**2)
    likelihood = -12 * np.log(2 * np.pi * variance) - 12 - np.log(y * (1 - y)).sum()
    assert found["aicc"].iloc[0] == pytest.approx(-2 * likelihood + 2 * 3 + 2 * 3 * 4 / (24 - 4), abs=0.02)


def test_forms_that_the_ladder_cannot_carry_are_listed_with_the_reason():
    found = compare(runs(8 * SIZES[:5] ** -0.2, SIZES[:5]), [BROKEN, POWER])
    assert found["form"].tolist() == ["power", "broken"]
    assert np.isnan(found["aicc"].iloc[1])
    assert "needs at least 6" in found["why"].iloc[1]
    assert found["why"].isna().tolist() == [True, False]


def test_too_few_rungs_to_leave_one_out():
    assert leave_largest_out(runs(8 * SIZES[:3] ** -0.2, SIZES[:3]), POWER).reason is Reason.FEW_SIZES
    with pytest.raises(UserError, match="leaving one of 3 rungs out leaves too few for the 3 parameters"):
        leave_one_out(points(SIZES[:3], SIZES[:3] ** -0.2), POWER_FLOOR)
    assert isinstance(leave_largest_out(runs(SIZES**-0.1, num_seeds=2), POWER), Refusal)
