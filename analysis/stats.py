"""Intervals over seeds. Every interval says what it is an interval of, how it was made and from how many samples.

Small numbers of seeds are the rule here, so the t distribution is used, never 1.96 standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        of: the quantity, in words ("mean test accuracy").
        estimate: the point estimate.
        low, high: ends of the interval; None where the samples carry none (a single seed).
        p_value: two-sided p of the hypothesis that the quantity is zero, from the same distribution as the
            interval; None where there is no interval or the method has none.
        level: nominal coverage.
        method: how the interval was made and over what ("t over 3 seeds").
        num_samples: n, the number of independent units behind it.
    """

    of: str
    estimate: float
    low: float | None
    high: float | None
    p_value: float | None = None
    level: float = LEVEL
    method: str
    num_samples: int

    def excludes(self, value: float) -> bool:
        """Whether the interval exists and `value` lies outside it."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


def t_interval(values: ArrayLike, *, of: str, unit: str = "seed", level: float = LEVEL) -> Interval:
    """Mean of independent values with its t interval.

    Args:
        values: [n] finite numbers, one per unit of replication.
        of: the quantity, in words.
        unit: what the values are replicated over ("seed", "body seed").
        level: nominal coverage.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    sample = _finite(values, of)
    num = len(sample)
    mean = float(sample.mean())
    if num == 1:
        return Interval(of=of, estimate=mean, low=None, high=None, method=f"one {unit}: no interval", num_samples=1)
    error = float(sample.std(ddof=1)) / np.sqrt(num)
    half = float(stdtrit(num - 1, (1 + level) / 2)) * error
    return Interval(
        of=of,
        estimate=mean,
        low=mean - half,
        high=mean + half,
        p_value=_two_sided(mean, error, num - 1),
        level=level,
        method=f"t over {num} {unit}s",
        num_samples=num,
    )


def crossed_interval(
    values: ArrayLike, *, seeds: Sequence[object], body_seeds: Sequence[object], of: str, level: float = LEVEL
) -> Interval:
    """Mean over seeds and body seeds with the wider of two t intervals: over the means of seeds, of body seeds.

    Runs that share a body, or a seed, are not independent, so n * m crossed runs are never counted as n * m
    samples. Where each seed goes with one body seed of its own, or all with the same, this is the plain t interval.

    Args:
        values: [n] finite numbers, one per run.
        seeds: [n] seed of each run (input and output layers, data order, dropout).
        body_seeds: [n] which body each run had.
        of: the quantity, in words.
        level: nominal coverage.
    """
    sample = _finite(values, of)
    by_seed = _group_means(sample, seeds)
    by_body = _group_means(sample, body_seeds)
    if len(by_seed) == len(sample):
        return t_interval(sample, of=of, level=level)
    if len(by_body) == len(sample):
        return t_interval(sample, of=of, unit="body seed", level=level)
    over_seeds = t_interval(by_seed, of=of, level=level)
    over_bodies = t_interval(by_body, of=of, unit="body seed", level=level)
    return max(over_seeds, over_bodies, key=_width)


def bootstrap_interval(
    samples: Sequence[ArrayLike],
    statistic: Callable[[list[NDArray[np.float64]]], float],
    *,
    of: str,
    seed: int = 0,
    num_resamples: int = 10_000,
    level: float = LEVEL,
) -> Interval:
    """Percentile bootstrap, stratified: each sample is resampled with replacement on its own, sizes kept.

    Args:
        samples: one array per stratum (for example the seeds' accuracies of one task and init). The units inside a
            stratum are taken as independent; strata are fixed and never mixed.
        statistic: number computed from the list of (resampled) strata.
        of: the quantity, in words.
        seed: of the generator; the same seed gives the same interval.
        num_resamples: bootstrap replicates.
        level: nominal coverage.

    Raises:
        ValueError: no stratum, or an empty or non-finite one.
    """
    if not samples:
        raise ValueError(f"{of}: nothing to resample; give at least one sample")
    strata = [_finite(sample, of) for sample in samples]
    smallest = min(len(stratum) for stratum in strata)
    estimate = float(statistic(strata))
    if smallest == 1:
        method = "a stratum has one seed: no interval"
        return Interval(of=of, estimate=estimate, low=None, high=None, level=level, method=method, num_samples=1)
    generator = np.random.default_rng(seed)
    replicates = [
        statistic([stratum[generator.integers(len(stratum), size=len(stratum))] for stratum in strata])
        for _ in range(num_resamples)
    ]
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(
        of=of,
        estimate=estimate,
        low=float(low),
        high=float(high),
        level=level,
        method=f"percentile bootstrap, {num_resamples} resamples within {len(strata)} strata, seed {seed}",
        num_samples=smallest,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given; all below alpha hold together at alpha.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    raw = np.asarray(p_values, dtype=float)
    if not np.all((raw >= 0) & (raw <= 1)):
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(raw, kind="stable")
    stepped = raw[order] * np.arange(len(raw), 0, -1)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted.tolist()


def _finite(values: ArrayLike, of: str) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=float).ravel()
    if len(sample) == 0 or not np.all(np.isfinite(sample)):
        raise ValueError(f"{of}: needs at least one value and only finite ones, got {sample.tolist()[:5]}")
    return sample


def _group_means(sample: NDArray[np.float64], labels: Sequence[object]) -> list[float]:
    assert len(labels) == len(sample)
    groups: dict[object, list[float]] = {}
    for label, value in zip(labels, sample, strict=True):
        groups.setdefault(label, []).append(float(value))
    return [float(np.mean(group)) for group in groups.values()]


def _two_sided(mean: float, error: float, freedom: int) -> float:
    # Seeds that agree exactly leave no spread to test against: the t statistic is then 0 / 0 or infinite.
    if error == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2 * stdtr(freedom, -abs(mean) / error))


def _width(interval: Interval) -> float:
    return -1.0 if interval.low is None or interval.high is None else interval.high - interval.low
