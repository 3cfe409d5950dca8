"""Thousands of small Huber fits at once: Levenberg-Marquardt on iteratively reweighted residuals, within bounds.

SciPy's L-BFGS-B is the optimiser of record (analysis.fits). It takes milliseconds for one fit of a few parameters, most
of them spent outside the formula, which is minutes for 1,000 bootstrap samples from 8 starts. Here all of them advance
together, one array operation for all; the bootstrap checks a sample of the answers against SciPy's and records the gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.form_curves import Array
from analysis.forms import Form

MAX_STEPS = 300
TOLERANCE = 1e-9
"""A step that lowers the objective by less than this share of it, twice in a row, ends a fit."""
_CHUNK_VALUES = 100_000
# Damping: far along the gradient at 1e8 no step is left to take; the factors are those of Levenberg-Marquardt practice.
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING, _LESS, _MORE = 1e-2, 1e-9, 1e8, 0.3, 5.0


@dataclass(frozen=True)
class Batch:
    """Where S fits ended.

    Attributes:
        theta: [S, p] the best of each fit's starts.
        objective: [S] sum of Huber losses of the residuals.
        converged: [S] whether the best start ended by itself, not at the limit of steps.
    """

    theta: Array
    objective: Array
    converged: np.ndarray


def huber(residuals: Array, delta: float) -> tuple[Array, Array]:
    """Huber's loss summed over the last axis, in squared units of the residuals, and its slope by each of them."""
    size = np.abs(residuals)
    loss = np.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta)).sum(-1)
    return loss, np.clip(residuals, -delta, delta)


def fit_batch(form: Form, z: Array, targets: Array, starts: Array, *, delta: float) -> Batch:
    """Fit the form to every row of targets, from several starts each.

    Args:
        form: the curve.
        z: [n, d] centred logarithms of x, shared by all rows.
        targets: [S, n] values on the form's scale.
        starts: [S, k, p] or [1, k, p].
        delta: threshold of the Huber loss, in units of the scale.
    """
    num, k = len(targets), starts.shape[1]
    starts = np.broadcast_to(starts, (num, k, starts.shape[2]))
    rows = max(1, _CHUNK_VALUES // (k * targets.shape[1] * starts.shape[2]))
    rungs, order = _Rungs.of(z)
    targets = targets[:, order]
    parts = [_chunk(form, rungs, targets[i : i + rows], starts[i : i + rows], delta) for i in range(0, num, rows)]
    return Batch(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@dataclass(frozen=True)
class _Rungs:
    """Runs with equal z lie on one rung: formula and slopes are wanted once for each, not for each run.

    Attributes:
        z: [R, d] of the rungs.
        first: [R] place of each rung's first run, the runs being in the order of their rungs.
        of_run: [n] the rung of each run.
    """

    z: Array
    first: np.ndarray
    of_run: np.ndarray

    @classmethod
    def of(cls, z: Array) -> tuple[_Rungs, np.ndarray]:
        """The rungs of z [n, d], and the order of runs that they need [n]."""
        distinct, rung = np.unique(z, axis=0, return_inverse=True)
        rung = rung.reshape(-1)
        order = np.argsort(rung, kind="stable")
        return cls(distinct, np.searchsorted(rung[order], np.arange(len(distinct))), rung[order]), order

    def sums(self, values: Array) -> Array:
        """[S, R] sums over the runs of each rung of values [S, n]."""
        return np.add.reduceat(values, self.first, axis=1)


def _chunk(form: Form, rungs: _Rungs, targets: Array, starts: Array, delta: float) -> tuple[Array, Array, np.ndarray]:
    num, k, p = starts.shape
    low, high = form.bounds(rungs.z)
    theta = np.clip(starts.reshape(-1, p), low, high)
    ended = _descend(form, rungs, np.repeat(targets, k, axis=0), theta, (low, high), delta)
    objective = ended[1].reshape(num, k)
    best = np.arange(num), objective.argmin(1)
    return ended[0].reshape(num, k, p)[best], objective[best], ended[2].reshape(num, k)[best]


def _descend(
    form: Form, rungs: _Rungs, targets: Array, theta: Array, bounds: tuple[Array, Array], delta: float
) -> tuple[Array, Array, np.ndarray]:
    """One start per row -> theta, objective and whether it ended by itself. Rows that ended leave the batch."""
    final, final_objective, done = theta.copy(), np.full(len(theta), np.inf), np.zeros(len(theta), dtype=bool)
    rows, still = np.arange(len(theta)), np.zeros(len(theta), dtype=int)
    damping = np.full(len(theta), _FIRST_DAMPING)
    value, slopes = form.curve(theta, rungs.z)
    residuals = value[:, rungs.of_run] - targets
    objective = huber(residuals, delta)[0]
    for _ in range(MAX_STEPS):
        proposal = np.clip(theta + _step(theta, rungs, residuals, slopes, damping, bounds, delta), *bounds)
        value, new_slopes = form.curve(proposal, rungs.z)
        new_residuals = value[:, rungs.of_run] - targets
        new_objective = huber(new_residuals, delta)[0]
        better = new_objective <= objective
        is_small = better & (objective - new_objective <= TOLERANCE * objective)
        still = _chosen(is_small, still + 1, np.zeros_like(still))
        theta, residuals = _chosen(better, proposal, theta), _chosen(better, new_residuals, residuals)
        slopes, objective = _chosen(better, new_slopes, slopes), _chosen(better, new_objective, objective)
        damping = _chosen(better, np.maximum(damping * _LESS, _LEAST_DAMPING), damping * _MORE)
        ended = (still >= 2) | (damping >= _MOST_DAMPING)
        if ended.any():
            final[rows[ended]], final_objective[rows[ended]], done[rows[ended]] = theta[ended], objective[ended], True
            rows, still, damping, theta, targets, residuals, slopes, objective = _of(
                ~ended, rows, still, damping, theta, targets, residuals, slopes, objective
            )
        if not len(rows):
            break
    final[rows], final_objective[rows] = theta, objective
    return final, final_objective, done


def _chosen(mask: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """By row ours where the mask holds, else theirs."""
    return np.where(mask.reshape(-1, *[1] * (ours.ndim - 1)), ours, theirs)


def _of(mask: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    """The rows of each array where the mask holds."""
    return [array[mask] for array in arrays]


def _step(
    theta: Array,
    rungs: _Rungs,
    residuals: Array,
    slopes: Array,
    damping: Array,
    bounds: tuple[Array, Array],
    delta: float,
) -> Array:
    """Damped Gauss-Newton steps [S, p]; a parameter at a bound that the gradient pushes against stays there.

    Args:
        theta: [S, p].
        rungs: of the runs.
        residuals: [S, n] of the runs.
        slopes: [S, R, p] of the rungs.
        damping: [S].
        bounds: of theta.
        delta: see `fit_batch`.
    """
    weights = 1 / np.maximum(np.abs(residuals) / delta, 1)
    gradient = np.matmul(rungs.sums(residuals * weights)[:, None, :], slopes)[:, 0]
    weighted = slopes * rungs.sums(weights)[..., None]
    curvature = np.matmul(weighted.transpose(0, 2, 1), slopes)
    held = ((theta <= bounds[0]) & (gradient > 0)) | ((theta >= bounds[1]) & (gradient < 0))
    gradient = np.where(held, 0.0, gradient)
    curvature = np.where(held[:, :, None] | held[:, None, :], 0.0, curvature)
    diagonal = np.einsum("spp->sp", curvature)  # a view: writing to it changes the matrix
    largest = diagonal.max(1, keepdims=True)
    diagonal += np.where(held | (largest == 0), 1.0, diagonal * damping[:, None] + 1e-12 * largest)
    return np.linalg.solve(curvature, -gradient[..., None])[..., 0]
