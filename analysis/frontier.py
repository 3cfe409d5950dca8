"""Where to spend compute: the frontier of a joint law (approach 3 of Hoffmann et al. 2022).

C = k N D ties operations to size and data; k is measured (train_flops of the ledger over N D), never taken to be 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.estimates import Estimate
from analysis.form_curves import Array
from analysis.forms import JOINT
from analysis.stats import LEVEL, Interval
from study.errors import UserError


@dataclass(frozen=True, eq=False)
class Frontier:
    """The compute-efficient frontier of y = E + A N^-alpha + B D^-beta under C = k N D.

    Hoffmann et al. 2022, eq. 4: N = G (C/k)^a, D = (C/k)^b / G, with a = beta / (alpha + beta), b = 1 - a and
    G = (alpha A / (beta B))^(1 / (alpha + beta)).

    Attributes:
        law: the joint law and its bootstrap.
        flops_per_product: k, operations per unit of N D.
    """

    law: Estimate
    flops_per_product: float

    def at(self, flops: float, *, level: float = LEVEL) -> dict[str, Interval]:
        """Intervals of the best "N" and "D" for a budget, of "y" there, and of the exponents "a" and "b"."""
        names = ("A", "B", "alpha", "beta", "E")
        one = self._optimum(flops, {name: np.array([self.law.fit.parameters[name]]) for name in names})
        many = self._optimum(flops, {name: self.law.draws.values(name) for name in names})
        return {
            name: self.law.draws.interval_of(
                float(one[name][0]), many[name], of=f"{name} at {flops:g} FLOP", level=level
            )
            for name in one
        }

    def table(self, budgets: Array) -> pd.DataFrame:
        """The frontier at several budgets: flops, and N, D and y with low and high."""
        rows = []
        for flops in np.asarray(budgets, dtype=float):
            row: dict[str, float | None] = {"flops": float(flops)}
            for name, interval in self.at(float(flops)).items():
                if name in ("N", "D", "y"):
                    row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
            rows.append(row)
        return pd.DataFrame(rows)

    def _optimum(self, flops: float, p: dict[str, Array]) -> dict[str, Array]:
        a = p["beta"] / (p["alpha"] + p["beta"])
        balance = (p["alpha"] * p["A"] / (p["beta"] * p["B"])) ** (1 / (p["alpha"] + p["beta"]))
        product = flops / self.flops_per_product
        size, data = balance * product**a, product ** (1 - a) / balance
        y = p["E"] + p["A"] * size ** -p["alpha"] + p["B"] * data ** -p["beta"]
        return {"N": size, "D": data, "y": y, "a": a, "b": 1 - a}


def frontier(law: Estimate, *, flops_per_product: float) -> Frontier:
    """The frontier of a joint law.

    Args:
        law: an estimate of the form "joint".
        flops_per_product: k in C = k N D, operations per parameter and example (or token), as measured.

    Raises:
        UserError: another form, or a k that is not positive.
    """
    if law.fit.form is not JOINT:
        raise UserError(f"a frontier needs the form joint, got {law.fit.form.name}; fit joint on two inputs")
    if not flops_per_product > 0:
        raise UserError(f"flops_per_product {flops_per_product} must be positive; divide train_flops by N times D")
    return Frontier(law, flops_per_product)
