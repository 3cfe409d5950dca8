"""Studies with known laws for benchmarks/fits.py: ladders with the noise of seeds, bodies and finite test sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis import refusals
from analysis.estimates import Estimate
from analysis.extrapolation import Extrapolation, leave_largest_out
from analysis.fits import fit
from analysis.fits_batch import fit_batch
from analysis.fits_bootstrap import bootstrap
from analysis.forms import BROKEN, CEILING, JOINT, POWER, POWER_FLOOR, SATURATING, Form, Scale
from analysis.frontier import frontier
from analysis.isoflop import IsoFlop, isoflop
from analysis.ladders import Ladder, points
from analysis.matching import exponent_ratio, match


@dataclass(frozen=True, kw_only=True)
class Law:
    """A form with true parameters and the noise of its runs.

    Attributes:
        form: the curve.
        truth: its parameters.
        spread: standard deviation of seeds on the form's scale.
        body_spread: the same of body seeds.
        num_test: examples in the test set on which an error is counted; None for a loss.
        tails: degrees of freedom of Student's t for the seeds; None for normal noise.
        bodies: body seeds per rung, each with all seeds; 1 for a ladder of one body.
        is_relative: seeds scatter by a share of the error instead, so that small and large rungs differ in noise.
    """

    form: Form
    truth: dict[str, float]
    spread: float
    num_test: int | None = 10_000
    tails: int | None = None
    body_spread: float = 0.0
    bodies: int = 1
    is_relative: bool = False

    def value(self, x: np.ndarray) -> np.ndarray:
        """True y at x [n, d]."""
        p = self.truth
        if self.form in (POWER, POWER_FLOOR):
            return p.get("E", 0.0) + p["A"] * x[:, 0] ** -p["alpha"]
        if self.form is JOINT:
            return p["E"] + p["A"] * x[:, 0] ** -p["alpha"] + p["B"] * x[:, 1] ** -p["beta"]
        if self.form is BROKEN:
            bend = (1 + (x[:, 0] / p["d"]) ** (1 / p["w"])) ** (-(p["b"] - p["a"]) * p["w"])
            return p["A"] * x[:, 0] ** -p["a"] * bend
        return 1 - p.get("c", 1.0) / (1 + (p["m"] / x[:, 0]) ** p["k"])

    def draw(self, x: np.ndarray, num_seeds: int, rng: np.random.Generator, of: str = "study") -> Ladder:
        """A ladder with this many seeds (of each body) at every row of x [R, d]."""
        n = num_seeds * self.bodies
        rows = np.repeat(x, n, axis=0)
        z = rng.standard_normal(len(rows)) if self.tails is None else rng.standard_t(self.tails, len(rows))
        body = np.repeat(rng.standard_normal(len(x) * self.bodies), num_seeds) * self.body_spread
        scale = Scale.LOG if self.is_relative else self.form.scale
        y = scale.back(scale.of(self.value(rows)) + self.spread * z + body)
        if self.num_test is not None:
            y = rng.binomial(self.num_test, np.minimum(y, 1.0)) / self.num_test
        resolution = None if self.num_test is None else 0.5 / self.num_test
        ladder = points(rows, y, of=of, resolution=resolution)
        if self.bodies > 1:
            labels = np.tile(np.repeat(np.arange(self.bodies), num_seeds), len(x))
            return replace(ladder, body_seed=labels)
        return ladder


def sizes(num: int) -> np.ndarray:
    """[num, 1] parameters from nano to xl."""
    return np.logspace(5.9, 9.2, num)[:, None]


def grid(num_sizes: int, num_data: int) -> np.ndarray:
    """Every pair of a size and a number of examples."""
    sizes, data = np.meshgrid(np.logspace(6, 9, num_sizes), np.logspace(8, 11, num_data))
    return np.stack([sizes.ravel(), data.ravel()], axis=1)


POWER_LAW = Law(form=POWER, truth={"A": 8.0, "alpha": 0.2}, spread=0.03)
FLOOR_LAW = Law(form=POWER_FLOOR, truth={"E": 0.08, "A": 30.0, "alpha": 0.3}, spread=0.03)
HEAVY_LAW = Law(form=POWER_FLOOR, truth=FLOOR_LAW.truth, spread=0.02, tails=3)
BODY_LAW = Law(form=POWER_FLOOR, truth=FLOOR_LAW.truth, spread=0.02, body_spread=0.03, bodies=4)
BETTER_LAW = Law(form=POWER_FLOOR, truth={"E": 0.05, "A": 15.0, "alpha": 0.33}, spread=0.03)
JOINT_LAW = Law(form=JOINT, truth={"E": 0.5, "A": 200.0, "B": 400.0, "alpha": 0.35, "beta": 0.3}, spread=0.02,
                num_test=None)  # fmt: skip
BROKEN_LAW = Law(form=BROKEN, truth={"A": 1.2, "a": 0.1, "b": 0.5, "d": 3e3, "w": 0.3}, spread=0.03)
LOGISTIC_LAW = Law(form=SATURATING, truth={"m": 3e7, "k": 0.6}, spread=0.1)
CEILING_LAW = Law(form=CEILING, truth={"m": 1e7, "k": 0.9, "c": 0.8}, spread=0.06)
UNEVEN_LAW = Law(form=CEILING, truth={"m": 1e7, "k": 0.9, "c": 0.8}, spread=0.03, is_relative=True)


Bounds = dict[str, tuple[float, float | None, float | None]]
"""By quantity: its true value and the ends of its interval."""
Study = Callable[[np.random.Generator, "Settings"], tuple[Bounds, bool]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How each study is fitted; `delta` as in analysis.fits.fit."""

    num_samples: int
    num_starts: int
    delta: float | None = None

    def law(self, ladder: Ladder, form: Form, seed: int) -> tuple[Estimate, bool]:
        """The estimate whether or not it would be refused, and whether it would be."""
        found = fit(ladder, form, delta=self.delta, num_starts=4)
        draws = bootstrap(found, num_samples=self.num_samples, num_starts=self.num_starts, seed=seed, num_checked=0)
        refused = any(
            one is not None for one in (refusals.before(ladder, form), refusals.of_fit(found), refusals.of_draws(draws))
        )
        return Estimate(draws, {p.name: draws.interval(p.name) for p in form.parameters}), refused


def one_law(law: Law, x: np.ndarray, num_seeds: int, *, delta: float | None = None, is_plain: bool = False) -> Study:
    """Every parameter of the form, and y at three times the largest x."""

    def study(rng: np.random.Generator, settings: Settings) -> tuple[Bounds, bool]:
        ladder = law.draw(x, num_seeds, rng)
        found, refused = replace(settings, delta=delta).law(ladder, law.form, int(rng.integers(2**31)))
        if is_plain:
            found = plain(found, rng)
        ends = {name: found.draws.interval(name) for name in law.truth}
        beyond = 3 * x[-1:]
        low, high = found.draws.band(beyond)
        bounds = {name: (law.truth[name], end.low, end.high) for name, end in ends.items()}
        return {**bounds, "y at 3x": (float(law.value(beyond)[0]), float(low[0]), float(high[0]))}, refused

    return study


def plain(found: Estimate, rng: np.random.Generator) -> Estimate:
    """The same with the uncorrected percentile bootstrap over seeds, for comparison."""
    ladder, target, num = found.fit.ladder, found.fit.target, len(found.draws.theta)
    per = np.bincount(ladder.rung)
    picks = [rng.integers(n, size=(num, n)) + start for n, start in zip(per, np.cumsum(per) - per, strict=True)]
    drawn = target[np.concatenate(picks, axis=1)]
    begin = np.broadcast_to(found.fit.theta, (num, 1, len(found.fit.theta)))
    theta = fit_batch(found.fit.form, found.fit.z, drawn, begin, delta=found.fit.delta).theta
    return replace(found, draws=replace(found.draws, theta=theta))


def left_out(law: Law, x: np.ndarray, num_seeds: int) -> Study:
    """The mean of the largest rung's runs in the interval predicted from the others."""

    def study(rng: np.random.Generator, settings: Settings) -> tuple[Bounds, bool]:
        found = leave_largest_out(law.draw(x, num_seeds, rng), law.form, num_samples=settings.num_samples)
        if not isinstance(found, Extrapolation):
            return {}, True
        return {"mean of the largest": (found.observed, found.low, found.high)}, False

    return study


def two_laws(law: Law, better: Law, x: np.ndarray, num_seeds: int, at: float) -> Study:
    """The ratio of exponents, and how many times more x the first needs."""
    grid_x = np.geomspace(x.min(), x.max(), 100_001)[:, None]
    needed = grid_x[np.argmax(law.value(grid_x) <= better.value(np.array([[at]]))), 0] / at
    is_reached = law.value(x[-1:])[0] <= better.value(np.array([[at]]))[0]

    def study(rng: np.random.Generator, settings: Settings) -> tuple[Bounds, bool]:
        one, no = settings.law(law.draw(x, num_seeds, rng, "worse"), law.form, int(rng.integers(2**31)))
        two, nor = settings.law(better.draw(x, num_seeds, rng, "better"), better.form, int(rng.integers(2**31)))
        ratio, found = exponent_ratio(two, one), match(one, two, at=at)
        low, high = found.low or 0.0, np.inf if found.high is None else found.high
        true_ratio = better.truth["alpha"] / law.truth["alpha"]
        factor = needed if is_reached else np.inf
        return {"ratio of exponents": (true_ratio, ratio.low, ratio.high), "factor": (factor, low, high)}, no or nor

    return study


def best_split(law: Law, x: np.ndarray, num_seeds: int, flops: float) -> Study:
    """The frontier of a joint law: the exponent a, and N, D and y at a budget."""

    def study(rng: np.random.Generator, settings: Settings) -> tuple[Bounds, bool]:
        found, refused = settings.law(law.draw(x, num_seeds, rng), law.form, int(rng.integers(2**31)))
        line = frontier(found, flops_per_product=6.0)
        p = law.truth
        a = p["beta"] / (p["alpha"] + p["beta"])
        size = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"])) * (flops / 6) ** a
        data = flops / 6 / size
        truth = {"a": a, "N": size, "D": data, "y": float(law.value(np.array([[size, data]]))[0])}
        ends = line.at(flops)
        return {name: (value, ends[name].low, ends[name].high) for name, value in truth.items()}, refused

    return study


def parabolas(num_sizes: int, num_seeds: int) -> Study:
    """Iso-FLOP: true parabolas in log N whose minima follow N = 0.1 C^0.5."""
    budgets = np.logspace(16, 18, 4)
    x = np.array([(c, 0.1 * c**0.5 * s) for c in budgets for s in np.geomspace(1 / 8, 8, num_sizes)])
    y = (x[:, 0] / 1e16) ** -0.05 + 0.02 * np.log(x[:, 1] / (0.1 * x[:, 0] ** 0.5)) ** 2

    def study(rng: np.random.Generator, settings: Settings) -> tuple[Bounds, bool]:
        runs = np.repeat(y, num_seeds) * np.exp(0.01 * rng.standard_normal(len(y) * num_seeds))
        seed = int(rng.integers(2**31))
        found = isoflop(points(np.repeat(x, num_seeds, axis=0), runs), num_samples=settings.num_samples, seed=seed)
        if not isinstance(found, IsoFlop):
            return {}, True
        last = found.size_intervals[-1]
        best = 0.1 * float(budgets[-1]) ** 0.5
        return {"a": (0.5, found.exponent.low, found.exponent.high), "best N": (best, last.low, last.high)}, False

    return study


FORM_SCENARIOS: dict[str, Study] = {
    "power, 5 sizes x 3 seeds": one_law(POWER_LAW, sizes(5), 3),
    "power, 6 sizes x 5 seeds": one_law(POWER_LAW, sizes(6), 5),
    "power-floor, 5 sizes x 3 seeds": one_law(FLOOR_LAW, sizes(5), 3),
    "power-floor, 6 sizes x 5 seeds": one_law(FLOOR_LAW, sizes(6), 5),
    "saturating, 5 sizes x 3 seeds": one_law(LOGISTIC_LAW, sizes(5), 3),
    "saturating, 6 sizes x 5 seeds": one_law(LOGISTIC_LAW, sizes(6), 5),
    "saturating-ceiling, 5 sizes x 3 seeds": one_law(CEILING_LAW, sizes(5), 3),
    "saturating-ceiling, 6 sizes x 5 seeds": one_law(CEILING_LAW, sizes(6), 5),
    "broken, 10 sizes x 3 seeds": one_law(BROKEN_LAW, np.logspace(2, 6, 10)[:, None], 3),
    "broken, 12 sizes x 5 seeds": one_law(BROKEN_LAW, np.logspace(2, 6, 12)[:, None], 5),
    "joint, 5 x 4 cells x 3 seeds": one_law(JOINT_LAW, grid(5, 4), 3),
    "joint, 6 x 5 cells x 5 seeds": one_law(JOINT_LAW, grid(6, 5), 5),
    "iso-FLOP, 4 budgets x 5 sizes x 3 seeds": parabolas(5, 3),
    "iso-FLOP, 4 budgets x 6 sizes x 5 seeds": parabolas(6, 5),
}
OTHER_SCENARIOS: dict[str, Study] = {
    "frontier, 5 x 4 cells x 3 seeds": best_split(JOINT_LAW, grid(5, 4), 3, 1e18),
    "two ladders, 5 sizes x 3 seeds": two_laws(FLOOR_LAW, BETTER_LAW, sizes(5), 3, 2e6),
    "two ladders, 6 sizes x 5 seeds": two_laws(FLOOR_LAW, BETTER_LAW, sizes(6), 5, 2e6),
    "two ladders, never matched": two_laws(FLOOR_LAW, BETTER_LAW, sizes(5), 3, 1e8),
    "largest left out, 6 sizes x 3 seeds": left_out(FLOOR_LAW, sizes(6), 3),
    "power-floor, 4 bodies x 3 seeds a size": one_law(BODY_LAW, sizes(6), 3),
    "power-floor, heavy tails (t with 3 df)": one_law(HEAVY_LAW, sizes(6), 4),
    "saturating-ceiling, noise uneven 10-fold": one_law(UNEVEN_LAW, sizes(6), 5),
    "for comparison: delta 1e-3, 5 sizes x 3 seeds": one_law(FLOOR_LAW, sizes(5), 3, delta=1e-3),
    "for comparison: delta 1e-3, 6 sizes x 5 seeds": one_law(FLOOR_LAW, sizes(6), 5, delta=1e-3),
    "for comparison: plain percentile, 5 sizes x 3 seeds": one_law(FLOOR_LAW, sizes(5), 3, is_plain=True),
}
