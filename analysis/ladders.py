"""Scaling ladders: runs of one variant at several sizes (or examples, or operations), as the fits need them.

A rung is one value of x (one pair of values for a joint law); its runs differ in seed and body seed only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analysis.form_curves import Array
from study.errors import UserError


@dataclass(frozen=True, eq=False)
class Ladder:
    """One variant's runs over the rungs, sorted by rung.

    Attributes:
        of: the variant, in words ("init random").
        x_names: [d] what the rungs differ in.
        y_name: what is measured; lower is better.
        x: [R, d] positive values, one row per rung.
        rung: [n] which rung each run is on, ascending.
        y: [n] one value per run.
        seed, body_seed: [n] what each run was drawn with.
        num_diverged, num_failed: [R] further runs of the rung, which have no y.
        chance: y of a model that knows nothing (the better of a uniform guess and the best trivial predictor); None
            where there is no such figure, as for a loss.
        resolution: smallest difference that the measurement can show (half a test example); y is kept this far from
            0, and from 1 on the logit scale. None: values at the ends cannot be used.
        empty_rungs: rungs none of whose runs is done, in words.
    """

    of: str
    x_names: tuple[str, ...]
    y_name: str
    x: Array
    rung: np.ndarray
    y: Array
    seed: np.ndarray
    body_seed: np.ndarray
    num_diverged: np.ndarray
    num_failed: np.ndarray
    chance: float | None = None
    resolution: float | None = None
    empty_rungs: tuple[str, ...] = ()

    @property
    def num_rungs(self) -> int:
        """R."""
        return len(self.x)

    @cached_property
    def units(self) -> np.ndarray:
        """[n] number of the independent unit of each run inside its rung.

        Runs that share a body are not independent: where a rung has several body seeds these are the units, else the
        seeds are.
        """
        found = np.zeros(len(self.y), dtype=int)
        for r in range(self.num_rungs):
            on = self.rung == r
            bodies = np.unique(self.body_seed[on], return_inverse=True)[1]
            found[on] = bodies if bodies.max() > 0 else np.unique(self.seed[on], return_inverse=True)[1]
        return found

    @cached_property
    def num_units(self) -> np.ndarray:
        """[R] independent units per rung."""
        return np.array([self.units[self.rung == r].max() + 1 for r in range(self.num_rungs)])

    def means(self, values: Array) -> Array:
        """[..., n] values per run -> [..., R] means per rung, every run counted once."""
        starts = np.searchsorted(self.rung, np.arange(self.num_rungs))
        return np.add.reduceat(values, starts, axis=-1) / np.bincount(self.rung)

    def unit_means(self, values: Array) -> list[Array]:
        """[n] values per run -> for each rung the means of its units."""
        found = []
        for r in range(self.num_rungs):
            on = self.rung == r
            found.append(np.bincount(self.units[on], values[on]) / np.bincount(self.units[on]))
        return found

    def without(self, rungs: Iterable[int]) -> Ladder:
        """The same ladder with some rungs left out."""
        keep = np.setdiff1d(np.arange(self.num_rungs), list(rungs))
        on = np.isin(self.rung, keep)
        return replace(
            self, x=self.x[keep], rung=np.searchsorted(keep, self.rung[on]), y=self.y[on], seed=self.seed[on],
            body_seed=self.body_seed[on], num_diverged=self.num_diverged[keep], num_failed=self.num_failed[keep],
        )  # fmt: skip

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per rung: x under its own names, the mean, spread and range of y, and how many of what made them."""
        rows = []
        for r in range(self.num_rungs):
            on = self.rung == r
            rows.append({
                "ladder": self.of,
                **dict(zip(self.x_names, self.x[r].tolist(), strict=True)),
                "y": self.y_name,
                "mean": self.y[on].mean(),
                "sd": self.y[on].std(ddof=1) if on.sum() > 1 else None,
                "low": self.y[on].min(),
                "high": self.y[on].max(),
                "num_runs": int(on.sum()),
                "num_seeds": len(set(self.seed[on])),
                "num_body_seeds": len(set(self.body_seed[on])),
                "num_units": int(self.num_units[r]),
                "num_diverged": int(self.num_diverged[r]),
                "num_failed": int(self.num_failed[r]),
                "chance": self.chance,
            })  # fmt: skip
        return pd.DataFrame(rows)


def points(x: ArrayLike, y: ArrayLike, *, of: str = "points", chance: float | None = None,
           resolution: float | None = None) -> Ladder:  # fmt: skip
    """A ladder from bare arrays: equal x are one rung, and every value there is a seed of its own.

    Args:
        x: [n] or [n, d] positive values.
        y: [n] finite values, lower is better.
        of: what they are, in words.
        chance, resolution: see Ladder.

    Raises:
        UserError: x that is not positive, y that is not finite, or lengths that differ.
    """
    inputs, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    inputs = inputs[:, None] if inputs.ndim == 1 else inputs
    if len(inputs) != len(values) or not len(values):
        raise UserError(f"{of}: {len(inputs)} values of x for {len(values)} of y; give at least one, and one each")
    if not (np.all(np.isfinite(inputs) & (inputs > 0)) and np.isfinite(values).all()):
        raise UserError(f"{of}: x must be positive and y finite; leave the other points out")
    rungs, rung = np.unique(inputs, axis=0, return_inverse=True)
    order = np.argsort(rung, kind="stable")
    rung = rung[order]
    seed = np.arange(len(rung)) - np.searchsorted(rung, rung)
    names = ("x",) if rungs.shape[1] == 1 else tuple(f"x{i + 1}" for i in range(rungs.shape[1]))
    none = np.zeros(len(rungs), dtype=int)
    return Ladder(of, names, "y", rungs, rung, values[order], seed, np.zeros_like(seed), none, none, chance, resolution)
