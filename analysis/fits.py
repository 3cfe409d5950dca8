"""Fits of scaling ladders: Huber loss of log residuals, many starts, SciPy's L-BFGS-B with analytic gradients.

    found = fit(ladder, form_named("power-floor"))
    found.parameters["alpha"], found.predict([[1e9]])

analysis.estimates adds intervals and refuses where the data do not carry the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize
from scipy.stats import qmc
from threadpoolctl import ThreadpoolController

from analysis.fits_batch import fit_batch, huber
from analysis.form_curves import Array
from analysis.forms import Form, Scale
from analysis.ladders import Ladder
from study.errors import UserError

HOFFMANN_DELTA = 1e-3
"""Huber threshold of Hoffmann et al. 2022, section 3.3, for runs that have no replicates."""
_EFFICIENT = 1.345
"""Huber's threshold in standard deviations that keeps 95 % efficiency under normal noise (Huber 1981, section 4.5)."""
_NUM_POLISHED = 3
"""Ends of starts from which SciPy goes on: one is enough where most starts end at the same place."""
_AGREE = 1e-4
"""Starts agree that end within this share of the lowest objective; one sign of a residual costs far more."""
_EXACT = 1e-6
"""Residuals below this are rounding, so that starts agree on data without noise."""
_NO_PROGRESS = 1e-13
_NO_SLOPE = 1e-7
_AT_BOUND = 1e-6
one_thread = ThreadpoolController().wrap(limits=1, user_api="blas")
"""Decorator. A fit's matrices have a few rows: threads of the linear algebra cost ten times what they do, and more
where other programs run."""


class Caution(Enum):
    """What a reader of a fit should know; the sentence belongs under the figure."""

    FEW_STARTS_AGREED = "fewer than a quarter of the starts found the best fit"
    NOT_CONVERGED = "the optimiser stopped before it converged"
    AT_BOUND = "a parameter ended at a bound"
    CLIPPED = "values at the end of the scale were moved in by the resolution of the measurement"
    RUNS_LEFT_OUT = "runs diverged or failed and are not in the fit"
    SOME_AT_CHANCE = "some rungs are no better than chance, where no power law holds; the exponent may be too small"
    MISFIT = "rungs scatter about the curve by more than their seeds explain; intervals are widened by that factor"
    REFITS_LOST = "some bootstrap fits did not converge"
    REFITS_DISAGREE = "some bootstrap fits are worse than SciPy's on the same sample"


@dataclass(frozen=True, eq=False)
class Fit:
    """A curve through a ladder.

    Attributes:
        form, ladder: what was fitted to what.
        delta: threshold of the Huber loss, in units of the form's scale.
        theta: [p] what the optimiser worked on; `parameters` are the reported values.
        z: [n, d] centred logarithms of x, one row per run; centre [d] and log_unit are what was taken off.
        target: [n] the runs on the form's scale.
        residuals: [n] target - prediction.
        objective: sum of Huber losses of the residuals (in squared units of the scale).
        num_starts, num_agreed: starts, and how many of them ended at the lowest objective.
        is_converged: whether the best start met SciPy's tolerances.
        at_bound: names of the parameters that ended at a bound.
        cautions: what a reader should know.
    """

    form: Form
    ladder: Ladder
    delta: float
    theta: Array
    z: Array
    centre: Array
    log_unit: float
    target: Array
    residuals: Array
    objective: float
    num_starts: int
    num_agreed: int
    is_converged: bool
    at_bound: tuple[str, ...]
    cautions: tuple[Caution, ...]

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the formula, in the ladder's units."""
        found = self.form.reported(self.theta[None], self.centre, self.log_unit)
        return {name: float(value[0]) for name, value in found.items()}

    def predict(self, x: ArrayLike, theta: Array | None = None) -> Array:
        """y at x.

        Args:
            x: [m, d] or, for one input, [m]; positive.
            theta: [S, p] other parameters, such as bootstrap samples; the fitted ones by default.

        Returns:
            [m], or [S, m] where theta is given.
        """
        y = self.form.scale.back(self.on_scale(x, self.theta[None] if theta is None else theta))
        return y[0] if theta is None else y

    def on_scale(self, x: ArrayLike, theta: Array) -> Array:
        """The curves of theta [S, p] at x ([m] or [m, d]) on the form's scale, [S, m]."""
        points = np.asarray(x, dtype=float)
        points = points[:, None] if points.ndim == 1 else points
        value = self.form.curve(theta, np.log(points) - self.centre)[0]
        return value + (self.log_unit if self.form.scale is Scale.LOG else 0.0)


@dataclass(frozen=True)
class Prepared:
    """A ladder as a form's optimiser sees it; see Fit for the names."""

    z: Array
    centre: Array
    log_unit: float
    target: Array
    num_clipped: int


def prepare(ladder: Ladder, form: Form) -> Prepared:
    """Reduce x and y to centred logarithms.

    Raises:
        UserError: the form wants another number of inputs, or values lie off its scale.
    """
    if ladder.x.shape[1] != form.num_inputs:
        raise UserError(
            f"form {form.name} takes {form.num_inputs} inputs, the ladder has {ladder.x.shape[1]} "
            f"({', '.join(ladder.x_names)}); choose another form or other inputs"
        )
    top = np.inf if form.scale is Scale.LOG else 1.0
    end = ladder.resolution or 0.0
    y = np.clip(ladder.y, end, top - end)
    off = (y <= 0) | (y >= top)
    if off.any():
        raise UserError(
            f"{ladder.of}: {int(off.sum())} of {len(y)} runs have {ladder.y_name} at the end of the {form.scale.value} "
            "scale; give the resolution of the measurement (half a test example) or leave those sizes out"
        )
    logs = np.log(ladder.x)
    centre = logs.mean(0)
    value = form.scale.of(y)
    log_unit = float(value.mean()) if form.scale is Scale.LOG else 0.0
    return Prepared((logs - centre)[ladder.rung], centre, log_unit, value - log_unit, int((y != ladder.y).sum()))


def starts(form: Form, z: Array, targets: Array, num: int, seed: int = 0) -> Array:
    """[S, num, p] starting points for each row of targets [S, n]: a scrambled Halton sequence over the shape."""
    unit = qmc.Halton(len(form.parameters), seed=seed).random(num)
    return np.clip(form.start(unit, z, targets), *form.bounds(z))


def noise_of(ladder: Ladder, target: Array) -> float | None:
    """Standard deviation of runs about their rung on the form's scale, by the median; None without replicates."""
    num = np.bincount(ladder.rung)[ladder.rung]
    several = num > 1
    if not several.any():
        return None
    about = (target - ladder.means(target)[ladder.rung]) * np.sqrt(num / np.maximum(num - 1, 1))
    return float(1.4826 * np.median(np.abs(about[several])))


@one_thread
def fit(ladder: Ladder, form: Form, *, delta: float | None = None, num_starts: int = 32, seed: int = 0) -> Fit:
    """Fit a form to the runs of a ladder.

    Args:
        ladder: the runs.
        form: the curve.
        delta: threshold of the Huber loss in units of the form's scale. None: 1.345 standard deviations of the seeds,
            at least Hoffmann's 1e-3. A threshold far under the noise makes the fit one of least absolute values, whose
            intervals are about a quarter wider under normal noise and cover too much (benchmarks/fits.md).
        num_starts: starting points.
        seed: of the starting points.

    Raises:
        UserError: see `prepare`; fewer runs than parameters; a delta or number of starts that is not positive.
    """
    if num_starts < 1 or (delta is not None and not delta > 0):
        raise UserError(f"num_starts {num_starts} and delta {delta} must be positive; leave delta out for 1.345 sd")
    data = prepare(ladder, form)
    if len(data.target) < len(form.parameters):
        raise UserError(
            f"form {form.name} has {len(form.parameters)} parameters, {ladder.of} only {len(ladder.y)} runs"
        )
    if delta is None:
        delta = max(HOFFMANN_DELTA, _EFFICIENT * (noise_of(ladder, data.target) or 0.0))
    begin = starts(form, data.z, data.target[None], num_starts, seed)[0]
    best, objectives = _best(form, data, begin, delta)
    agreed = int((objectives <= best.fun * (1 + _AGREE) + len(data.target) * _EXACT**2).sum())
    low, high = form.bounds(data.z)
    touching = (best.x - low <= _AT_BOUND * (high - low)) | (high - best.x <= _AT_BOUND * (high - low))
    named = tuple(p.name for p, at in zip(form.parameters, touching, strict=True) if at and not p.is_free_at_bound)
    # A kink of the Huber loss can end the line search of one start; other starts that end there too confirm it.
    converged = bool(best.success) or agreed > 1
    said = {
        Caution.FEW_STARTS_AGREED: 4 * agreed < num_starts,
        Caution.NOT_CONVERGED: not converged,
        Caution.AT_BOUND: bool(named),
        Caution.CLIPPED: data.num_clipped > 0,
        Caution.RUNS_LEFT_OUT: bool(ladder.num_diverged.any() or ladder.num_failed.any() or ladder.empty_rungs),
    }
    return Fit(
        form, ladder, delta, best.x, data.z, data.centre, data.log_unit, data.target,
        data.target - form.curve(best.x[None], data.z)[0][0], float(best.fun), num_starts, agreed, converged,
        named, tuple(caution for caution, is_so in said.items() if is_so),
    )  # fmt: skip


def _best(form: Form, data: Prepared, begin: Array, delta: float) -> tuple[optimize.OptimizeResult, Array]:
    """SciPy's answer from the best ends of all starts [S, p], and the objective [S] that each start ended at.

    `fits_batch` carries every start to its end, all at once and much faster than SciPy would one after the other (it
    compares them in tests); SciPy then goes on from the best of them.
    """
    repeated = np.broadcast_to(data.target, (len(begin), len(data.target)))
    ended = fit_batch(form, data.z, repeated, begin[:, None], delta=delta)
    order = ended.objective.argsort(kind="stable")[:_NUM_POLISHED]
    polished = [minimise(form, data.z, data.target, ended.theta[i], delta) for i in order]
    objectives = ended.objective.copy()
    objectives[order] = np.minimum(objectives[order], [one.fun for one in polished])
    return min(polished, key=lambda one: one.fun), objectives


def minimise(form: Form, z: Array, target: Array, theta: Array, delta: float) -> optimize.OptimizeResult:
    """SciPy's answer from one start [p]; its `fun` is the sum of Huber losses.

    SciPy sees the sum, not the mean, and in units in which a residual of a thousandth counts for something: with the
    mean of raw losses its tolerances are met long before the minimum, which is how the published estimates of Hoffmann
    et al. 2022 went wrong (Besiroglu et al. 2024, arXiv 2404.10102).
    """
    unit = min(delta, HOFFMANN_DELTA)
    # Every parameter in units of its own effect on the residuals: the curvature is then near one in each, and the first
    # step (along the bare gradient) throws none of them far outside the data.
    scale = unit / np.sqrt((form.curve(theta[None], z)[1][0] ** 2).sum(0) + unit**2)

    def objective(scaled: Array) -> tuple[float, Array]:
        value, slopes = form.curve((scaled * scale)[None], z)
        loss, slope = huber(value[0] - target, delta)
        return float(loss) / unit**2, (slope @ slopes[0]) * scale / unit**2

    low, high = form.bounds(z)
    options = {"ftol": _NO_PROGRESS, "gtol": _NO_SLOPE, "maxiter": 2000, "maxfun": 20_000, "maxcor": 20}
    found = optimize.minimize(
        objective,
        theta / scale,
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(low / scale, high / scale),
        options=options,
    )
    found.x, found.fun = np.clip(found.x * scale, low, high), found.fun * unit**2
    return found
