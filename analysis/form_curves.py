"""The formulas of analysis.forms with their gradients and starting points, evaluated for many parameter sets at once.

theta is [S, p], one row per data set or start; z is [n, d], centred natural logarithms of x, so that level and exponent
are nearly uncorrelated. A curve answers with its prediction [S, n] on the form's residual scale and the derivatives of
that prediction [S, n, p]. A start turns points of the unit cube [k, q] and the data [S, n] into theta [S, k, p].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]


def power(theta: Array, z: Array) -> tuple[Array, Array]:
    """log(A x^-alpha); theta: log A, alpha."""
    level, exponent, x = theta[:, :1], theta[:, 1:2], z[:, 0]
    value = level - exponent * x
    return value, _columns(np.ones_like(value), -x)


def power_start(unit: Array, z: Array, target: Array) -> Array:
    """alpha spread over 0.02 to 1.5; the level follows."""
    exponent = _spread(unit, 0, 0.02, 1.5)
    return _columns(target.mean(1, keepdims=True) + exponent * z[:, 0].mean(), exponent)


def power_floor(theta: Array, z: Array) -> tuple[Array, Array]:
    """log(E + A x^-alpha); theta: E, log A, alpha."""
    floor, x = theta[:, :1], z[:, 0]
    term = np.exp(theta[:, 1:2] - theta[:, 2:3] * x)
    total = floor + term
    return np.log(total), _columns(1 / total, term / total, -x * term / total)


def power_floor_start(unit: Array, z: Array, target: Array) -> Array:
    """E spread up to the lowest value, alpha over 0.05 to 1.5; the level follows."""
    floor, above = _floors(unit, target)
    exponent = _spread(unit, 1, 0.05, 1.5)
    return _columns(floor, above + exponent * z[:, 0].mean(), exponent)


def joint(theta: Array, z: Array) -> tuple[Array, Array]:
    """log(E + A N^-alpha + B D^-beta); theta: E, log A, log B, alpha, beta."""
    floor, n, d = theta[:, :1], z[:, 0], z[:, 1]
    size = np.exp(theta[:, 1:2] - theta[:, 3:4] * n)
    data = np.exp(theta[:, 2:3] - theta[:, 4:5] * d)
    total = floor + size + data
    return np.log(total), _columns(1 / total, size / total, data / total, -n * size / total, -d * data / total)


def joint_start(unit: Array, z: Array, target: Array) -> Array:
    """E, the share of the size term and both exponents spread; the levels follow."""
    floor, above = _floors(unit, target)
    share, alpha, beta = _spread(unit, 1, 0.1, 0.9), _spread(unit, 2, 0.05, 1.2), _spread(unit, 3, 0.05, 1.2)
    size = above + np.log(share) + alpha * z[:, 0].mean()
    return _columns(floor, size, above + np.log1p(-share) + beta * z[:, 1].mean(), alpha, beta)


def broken(theta: Array, z: Array) -> tuple[Array, Array]:
    """log(A x^-a (1 + (x/d)^(1/w))^(-(b-a) w)); theta: log A, a, b, log d, w."""
    level, first, second, where, width = (theta[:, i : i + 1] for i in range(5))
    x = z[:, 0]
    distance = (x - where) / width
    small = np.exp(-np.abs(distance))  # one exponential serves the bend, log(1 + e^d), and its slope
    bend, past = np.maximum(distance, 0) + np.log1p(small), np.where(distance > 0, 1, small) / (1 + small)
    change = second - first
    value = level - first * x - change * width * bend
    by_width = -change * (bend - distance * past)
    return value, _columns(np.ones_like(value), -x + width * bend, -width * bend, change * past, by_width)


def broken_start(unit: Array, z: Array, target: Array) -> Array:
    """Both exponents, place and width of the break spread; the level follows."""
    low, high = np.quantile(z[:, 0], [0.2, 0.8])
    first, second = _spread(unit, 0, 0.0, 1.2), _spread(unit, 1, 0.0, 1.2)
    shape = _columns(0 * first, first, second, _spread(unit, 2, low, high), _spread(unit, 3, 0.1, 1.5))[0]
    theta = np.repeat(shape[None], len(target), axis=0)
    theta[:, :, 0] = (target[:, None, :] - broken(shape, z)[0]).mean(2)
    return theta


def saturating(theta: Array, z: Array) -> tuple[Array, Array]:
    """k (log x - log m), the log odds of being right; theta: log m, k."""
    gap = z[:, 0] - theta[:, :1]
    return theta[:, 1:2] * gap, _columns(-theta[:, 1:2], gap)


def saturating_start(unit: Array, z: Array, target: Array) -> Array:
    """k spread over 0.05 to 2; the midpoint follows."""
    slope = _spread(unit, 0, 0.05, 2.0)
    return _columns(z[:, 0].mean() - target.mean(1, keepdims=True) / slope, slope)


def ceiling(theta: Array, z: Array) -> tuple[Array, Array]:
    """Log odds of being right with probability c / (1 + (m/x)^k); theta: log m, k, c."""
    slope, top = theta[:, 1:2], theta[:, 2:3]
    gap = z[:, 0] - theta[:, :1]
    rise, rest = special.expit(slope * gap), special.expit(-slope * gap)
    wrong = (1 - top) + top * rest  # 1 - c / (1 + ...) without cancellation where it is near 0
    value = np.log(top * rise) - np.log(wrong)
    return value, _columns(-slope * rest / wrong, gap * rest / wrong, 1 / (top * wrong))


def ceiling_start(unit: Array, z: Array, target: Array) -> Array:
    """k and the midpoint spread, the ceiling between the best value and 1."""
    best = special.expit(target.max(1, keepdims=True))
    middle = _spread(unit, 1, float(z.min()), float(z.max()))
    return _columns(middle, _spread(unit, 0, 0.05, 2.0), best + (1 - best) * _spread(unit, 2, 0.02, 0.98))


def _floors(unit: Array, target: Array) -> tuple[Array, Array]:
    """Floors [S, k] from zero to just under the lowest value, and the mean log height of the data over each."""
    values = np.exp(target)
    floor = _spread(unit, 0, 0.0, 0.98) * values.min(1, keepdims=True)
    return floor, np.log(values[:, None, :] - floor[:, :, None]).mean(2)


def _spread(unit: Array, column: int, low: float, high: float) -> Array:
    """A column of the unit cube [k, q] -> [1, k], between two values."""
    return (low + (high - low) * unit[:, column])[None, :]


def _columns(*columns: Array) -> Array:
    return np.stack(np.broadcast_arrays(*columns), axis=-1)
