"""The curves that a scaling ladder may follow: of an error, a rescaled error or a loss, each falling as x grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import special

from analysis import form_curves as curves
from analysis.form_curves import Array
from study.errors import unknown_name


class Scale(Enum):
    """The scale on which residuals are taken."""

    LOG = "log"
    """log(y): a residual is a relative error (Hoffmann et al. 2022, eq. 3)."""
    LOGIT = "logit"
    """log((1 - y) / y), the log odds of being right, where y is an error strictly between 0 and 1."""

    def of(self, y: Array) -> Array:
        """Measured values on this scale; same shape."""
        return np.log(y) if self is Scale.LOG else np.log1p(-y) - np.log(y)

    def back(self, value: Array) -> Array:
        """The inverse of `of`."""
        return np.exp(value) if self is Scale.LOG else special.expit(-value)

    def log_slope(self, y: Array) -> Array:
        """log |d of(y) / dy|: turns a likelihood on this scale into one of y itself."""
        return -np.log(y) if self is Scale.LOG else -np.log(y) - np.log1p(-y)


class Kind(Enum):
    """How a parameter that the optimiser works on becomes the reported one."""

    PLAIN = "as it is"
    FLOOR = "in units of y"
    LEVEL = "logarithm of y at the centre of the ladder; reported at x = 1"
    PLACE = "logarithm of x from the centre of the ladder"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a form.

    Attributes:
        name: as in the formula.
        unit: what the reported value is measured in; "y" and "x" stand for the units of the ladder's axes.
        kind: how it is reported.
        low, high: bounds of what the optimiser works on (y in units of its geometric mean, logarithms of x and y from
            their means); None: the ends of the ladder.
        reason: why these bounds.
        slope: for a level, the index of the exponent that takes it from the centre to x = 1.
        axis: which column of x it belongs to.
        decides: the form means nothing where this parameter is not known to within a decade.
        is_free_at_bound: a bound reached here is no finding.
    """

    name: str
    unit: str
    kind: Kind = Kind.PLAIN
    low: float | None
    high: float | None
    reason: str
    slope: int | None = None
    axis: int = 0
    decides: bool = False
    is_free_at_bound: bool = False


@dataclass(frozen=True, kw_only=True)
class Form:
    """A curve to fit.

    Attributes:
        name: as given on the command line.
        formula: as text, for figures.
        source: where the formula comes from.
        scale: where residuals are taken.
        num_inputs: d, columns of x.
        parameters: p of them, in the order of theta.
        curve: see analysis.form_curves; takes theta [S, p] and z [n, d], gives the prediction and its gradient.
        start: see analysis.form_curves; takes points of a unit cube [k, p], z [n, d] and data [S, n].
        simpler: the form to take where this one ends at a bound; None where there is none.
        only_falls: a rise beyond the noise contradicts it.
    """

    name: str
    formula: str
    source: str
    scale: Scale
    num_inputs: int = 1
    parameters: tuple[Parameter, ...]
    curve: Callable[[Array, Array], tuple[Array, Array]]
    start: Callable[[Array, Array, Array], Array]
    simpler: str | None = None
    only_falls: bool = True

    def bounds(self, z: Array) -> tuple[Array, Array]:
        """Lower and upper bounds [p] of theta for centred logarithms of x [n, d]."""
        low = [float(z.min()) if p.low is None else p.low for p in self.parameters]
        high = [float(z.max()) if p.high is None else p.high for p in self.parameters]
        return np.array(low), np.array(high)

    def reported(self, theta: Array, centre: Array, log_unit: float) -> dict[str, Array]:
        """theta [S, p] -> the parameters of the formula, [S] each.

        Args:
            theta: what the optimiser works on.
            centre: [d] what was taken off the logarithms of x.
            log_unit: logarithm of the unit that y was divided by.
        """
        found: dict[str, Array] = {}
        for i, parameter in enumerate(self.parameters):
            value = theta[:, i]
            if parameter.kind is Kind.FLOOR:
                value = value * np.exp(log_unit)
            elif parameter.kind is Kind.LEVEL:
                assert parameter.slope is not None
                value = np.exp(value + theta[:, parameter.slope] * centre[parameter.axis] + log_unit)
            elif parameter.kind is Kind.PLACE:
                value = np.exp(value + centre[parameter.axis])
            found[parameter.name] = value
        return found

    @property
    def min_rungs(self) -> int:
        """Fewest rungs that leave something to check the curve against; never under 4."""
        return max(4, len(self.parameters) + 1)


def _exponent(name: str, axis: int = 0, *, decides: bool = True) -> Parameter:
    reason = "0 is no improvement at all; steeper than 3 is a jump between two sizes, which no power law describes"
    return Parameter(name=name, unit="1", low=0.0, high=3.0, reason=reason, axis=axis, decides=decides)


def _level(name: str, slope: int, axis: int = 0) -> Parameter:
    reason = "13 decades either side of the data's geometric mean: out of reach, so that the optimiser never overflows"
    return Parameter(name=name, unit="y", kind=Kind.LEVEL, low=-30.0, high=30.0, reason=reason, slope=slope, axis=axis)


_FLOOR = Parameter(
    name="E", unit="y", kind=Kind.FLOOR, low=0.0, high=1.0,
    reason="an error is not negative, and a floor cannot lie above the geometric mean of what it is the floor of",
)  # fmt: skip
_MIDPOINT = Parameter(
    name="m", unit="x", kind=Kind.PLACE, low=-60.0, high=60.0, decides=True,
    reason="26 decades either side of the ladder: out of reach, so that the optimiser never overflows",
)  # fmt: skip
_SLOPE = Parameter(
    name="k", unit="1", low=0.0, high=5.0, decides=True,
    reason="0 is no improvement at all; at 5 the odds rise 150-fold while x triples: a jump, not a curve",
)  # fmt: skip
_SHAPE = "Kaplan et al. 2020 (arXiv 2001.08361), eq. 1.1"

POWER = Form(
    name="power",
    formula="y = A x^-alpha",
    source=_SHAPE,
    scale=Scale.LOG,
    parameters=(_level("A", 1), _exponent("alpha")),
    curve=curves.power,
    start=curves.power_start,
)
POWER_FLOOR = Form(
    name="power-floor",
    formula="y = E + A x^-alpha",
    source=f"{_SHAPE}; with the irreducible part of Hoffmann et al. 2022 (arXiv 2203.15556), eq. 2",
    scale=Scale.LOG,
    parameters=(_FLOOR, _level("A", 2), _exponent("alpha")),
    curve=curves.power_floor,
    start=curves.power_floor_start,
    simpler="power",
)
JOINT = Form(
    name="joint",
    formula="y = E + A N^-alpha + B D^-beta",
    source="Hoffmann et al. 2022 (arXiv 2203.15556), eq. 2, approach 3",
    scale=Scale.LOG,
    num_inputs=2,
    parameters=(_FLOOR, _level("A", 3), _level("B", 4, 1), _exponent("alpha"), _exponent("beta", 1)),
    curve=curves.joint,
    start=curves.joint_start,
)
BROKEN = Form(
    name="broken",
    formula="y = A x^-a (1 + (x/d)^(1/w))^(-(b - a) w)",
    source="Caballero et al. 2022 (arXiv 2210.14891), eq. 1 with one break; b is their c0 + c1, w their f1, and their "
    "limit a is 0: one ladder cannot tell a floor from a second exponent",
    scale=Scale.LOG,
    parameters=(
        _level("A", 1),
        _exponent("a", decides=False),
        _exponent("b"),
        Parameter(
            name="d", unit="x", kind=Kind.PLACE, low=None, high=None, decides=True,
            reason="a break outside the ladder was not seen",
        ),
        Parameter(
            name="w", unit="1", low=0.05, high=3.0, is_free_at_bound=True,
            reason="sharper than 0.05 lies between two sizes; blunter than 3, over six decades, is a line",
        ),
    ),
    curve=curves.broken,
    start=curves.broken_start,
    simpler="power",
    only_falls=False,
)  # fmt: skip
SATURATING = Form(
    name="saturating",
    formula="1 - y = 1 / (1 + (m/x)^k)",
    source="logistic in log x, as the second step of Llama 3 (arXiv 2407.21783, section 3.2.1) is in the loss; "
    "y is rescaled between floor and ceiling",
    scale=Scale.LOGIT,
    parameters=(_MIDPOINT, _SLOPE),
    curve=curves.saturating,
    start=curves.saturating_start,
)
CEILING = Form(
    name="saturating-ceiling",
    formula="1 - y = c / (1 + (m/x)^k)",
    source="as saturating, with a ceiling that is found, not given",
    scale=Scale.LOGIT,
    parameters=(
        _MIDPOINT,
        _SLOPE,
        Parameter(name="c", unit="1", low=0.01, high=1.0, reason="the best of all answers is all right"),
    ),
    curve=curves.ceiling,
    start=curves.ceiling_start,
    simpler="saturating",
)
FORMS = {form.name: form for form in (POWER, POWER_FLOOR, JOINT, BROKEN, SATURATING, CEILING)}


def form_named(name: str) -> Form:
    """The form of that name.

    Raises:
        UserError: an unknown name, with near misses.
    """
    if name not in FORMS:
        raise unknown_name("form", name, FORMS)
    return FORMS[name]
