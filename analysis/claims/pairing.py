"""Which runs are set against each other: equal in every field but those that the claim compares or leaves free.

Where a ledger holds several candidates, what is compared is chosen without looking at test accuracy:
- a side's setting (learning rate, steps, ... where they are free): the paper's grid's own, then the most seeds, then
  the best mean validation accuracy; a claim about tuned learning rates goes by seeds and validation accuracy alone;
- the place on each line (body, size, data, ...): the body that most tasks were run with, then the paper's grid's own
  training, the most pairs, the best mean validation accuracy of both sides together. Other places are counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.claims.context import FIELDS, OPTIMISATION, TUNED, Context, trained_groups
from analysis.settings import shown

Rows = NDArray[np.intp]
Column = NDArray[Any]
Columns = dict[str, Column]
_BODY = ("body", "size", "num_layers")


@dataclass(frozen=True)
class Side:
    """The runs on one side of a comparison.

    Attributes:
        name: in words.
        where: column -> value or values that the runs have; None is a null.
    """

    name: str
    where: dict[str, Any]

    def of(self, context: Context) -> Rows:
        """Positions of those of the context's runs that are on this side."""
        return np.flatnonzero(self._mask(context.columns, len(context.runs)))

    def count(self, runs: pd.DataFrame) -> int:
        """How many of some runs are on this side."""
        return int(self._mask({name: runs[name].to_numpy() for name in runs.columns}, len(runs)).sum())

    def _mask(self, columns: Columns, number: int) -> NDArray[np.bool_]:
        mask = np.ones(number, dtype=bool)
        for column, wanted in self.where.items():
            values = wanted if isinstance(wanted, tuple) else (wanted,)
            if column == "train_set":
                column, values = "trains", tuple(trained_groups(value) for value in values)
            present = pd.Series(columns[column])
            mask &= (present.isin(values) | (present.isna() & (None in values))).to_numpy()
        return mask


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Runs of two sides at one place, pair by pair.

    Attributes:
        task: of both.
        line: what else names the place beside the task; "" where nothing does.
        setting: body and training, in words.
        seeds: [n] of each pair.
        bodies: [n] what names the bodies of a pair: the body seeds of those sides that have several.
        a, b: [n] columns of the runs, by name.
        num_unpaired: runs at this place without a partner.
        num_other: further places on this line, which take no part in the verdict.
    """

    task: str
    line: str
    setting: str
    seeds: Column
    bodies: Column
    a: Columns
    b: Columns
    num_unpaired: int
    num_other: int

    def __len__(self) -> int:
        return len(self.seeds)

    def where(self, mask: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        a, b = ({name: column[mask] for name, column in side.items()} for side in (self.a, self.b))
        return replace(self, seeds=self.seeds[mask], bodies=self.bodies[mask], a=a, b=b)


def paired(
    context: Context,
    a: Side,
    b: Side,
    *,
    free: Iterable[str] = (),
    by: tuple[str, ...] = ("task",),
    by_validation: bool = False,
    least_rates: int = 1,
) -> list[Pairs]:
    """The pairs of each line.

    Args:
        context: the rows.
        a, b: the sides; what they say of a column is compared and need not be equal.
        free: further fields that need not be equal.
        by: columns whose values name a line; one place is taken for each.
        by_validation: whether a side's setting is chosen by validation accuracy alone.
        least_rates: learning rates that each side must have been swept over; not asked for where they are tuned.
    """
    is_tuned = context.tuning == TUNED
    loose = {*a.where, *b.where, *free, "protocol", *(OPTIMISATION if is_tuned else ())} - set(by)
    rows_a, rows_b = a.of(context), b.of(context)
    if not len(rows_a) or not len(rows_b):
        return []
    rows = np.concatenate([rows_a, rows_b])
    is_b = np.arange(len(rows)) >= len(rows_a)
    place = labels(context.codes[rows][:, [i for i, name in enumerate(FIELDS) if name not in loose]])
    keep = np.isin(place, np.intersect1d(place[is_b], place[~is_b]))
    if least_rates > 1 and not is_tuned:
        keep &= _is_swept(place, is_b, context.codes[rows, FIELDS.index("lr")], least_rates)
    rows, is_b, place = rows[keep], is_b[keep], place[keep]
    if not len(rows):
        return []
    fields = [i for i, name in enumerate(FIELDS) if name in loose]
    choice = labels(np.column_stack([place, is_b, context.codes[rows][:, fields]]))
    chosen = _best_settings(context.columns, rows, 2 * place + is_b, choice, by_validation)
    rows, is_b, place = rows[chosen], is_b[chosen], place[chosen]
    matches = _matched(context.columns, rows, is_b, place)
    ranked = _ranked(context.columns, rows, is_b, place, matches, context.codes)
    line = labels(context.codes[ranked["first"].to_numpy()][:, [FIELDS.index(name) for name in by]])
    return [_pairs(context.columns, group, matches, by) for _, group in ranked.groupby(line, sort=False)]


def labels(codes: NDArray[Any]) -> Rows:
    """A number for each row of a matrix of codes [n, m]: equal rows have equal numbers."""
    found = np.zeros(len(codes), dtype=np.intp)
    for column in codes.T:
        values = np.unique(column, return_inverse=True)[1]
        found = np.unique(found * (values.max(initial=0) + 1) + values, return_inverse=True)[1]
    return found


def _is_swept(place: Rows, is_b: NDArray[np.bool_], rates: Column, least: int) -> NDArray[np.bool_]:
    """Whether both sides have at least so many learning rates at the place of a run."""
    side = 2 * place + is_b
    swept = np.bincount(np.unique(np.column_stack([side, rates]), axis=0)[:, 0], minlength=2 * place.max() + 2)
    return np.minimum(swept[2 * place], swept[2 * place + 1]) >= least


def _best_settings(runs: Columns, rows: Rows, side: Rows, choice: Rows, by_validation: bool) -> NDArray[np.bool_]:
    """Whether a run is of the chosen setting of its side at its place."""
    number = np.bincount(choice)
    seeds = np.bincount(np.unique(np.column_stack([choice, runs["seed"][rows]]), axis=0)[:, 0])
    own, planned, valid, lr = (
        np.bincount(choice, runs[name][rows].astype(float)) / number for name in ("is_own", "is_planned", "valid", "lr")
    )
    of_side = np.zeros(len(number), dtype=np.intp)
    of_side[choice] = side
    # The last key sorts first; of two that are equal in all else the lower learning rate.
    order = np.lexsort((lr, -valid, -seeds, *(() if by_validation else (-planned,)), -own, of_side))
    best = order[np.unique(of_side[order], return_index=True)[1]]
    return np.isin(choice, best)


def _matched(runs: Columns, rows: Rows, is_b: NDArray[np.bool_], place: Rows) -> pd.DataFrame:
    """Pairs of runs with the same seed, and the same body where both sides have several for a seed.

    Columns: place, seed, row_a, row_b (positions), body_a, body_b (body seeds).
    """
    seeds, bodies = runs["seed"][rows], runs["body_seed"][rows]
    both = pd.DataFrame({"place": place, "seed": seeds, "row": rows, "body": bodies})
    pairs = both[~is_b].merge(both[is_b], on=["place", "seed"], suffixes=("_a", "_b"))
    if pairs.duplicated(["place", "seed"]).any():
        cell = [pairs["place"], pairs["seed"]]
        several = pairs.groupby(["place", "seed"])[["body_a", "body_b"]].transform("nunique").min(axis=1) > 1
        same = pairs["body_a"] == pairs["body_b"]
        pairs = pairs[same | ~(several & same.groupby(cell).transform("any"))]
    return pairs


def _ranked(
    runs: Columns, rows: Rows, is_b: NDArray[np.bool_], place: Rows, matches: pd.DataFrame, codes: Column
) -> pd.DataFrame:
    """One row per place, the best first: place, first (position of a run of side a), num_runs."""
    places, index = np.unique(place[~is_b], return_index=True)
    first = rows[~is_b][index]
    size = int(place.max()) + 1
    number = np.bincount(place, minlength=size)
    planned, valid = (
        np.bincount(place, runs[name][rows].astype(float), minlength=size) / np.maximum(number, 1)
        for name in ("is_planned", "valid")
    )
    body, tasks = labels(codes[first][:, [FIELDS.index(name) for name in _BODY]]), codes[first, FIELDS.index("task")]
    num_tasks = np.bincount(np.unique(np.column_stack([body, tasks]), axis=0)[:, 0])
    ranked = pd.DataFrame(
        {
            "place": places,
            "first": first,
            "num_runs": number[places],
            "num_tasks": num_tasks[body],
            "is_planned": planned[places],
            "num_pairs": np.bincount(matches["place"], minlength=size)[places],
            "valid": valid[places],
        }
    )
    order = ["num_tasks", "is_planned", "num_pairs", "valid"]
    return ranked.sort_values(order, ascending=False, kind="stable")


def _pairs(runs: Columns, places: pd.DataFrame, matches: pd.DataFrame, by: tuple[str, ...]) -> Pairs:
    """The best place of a line."""
    best, first = places.iloc[0], int(places["first"].iloc[0])
    here = matches[matches["place"] == best["place"]]
    rows_a, rows_b = here["row_a"].to_numpy(), here["row_b"].to_numpy()
    a, b = ({name: column[rows] for name, column in runs.items()} for rows in (rows_a, rows_b))
    several = [here[name].to_numpy() if here[name].nunique() > 1 else -1 for name in ("body_a", "body_b")]
    return Pairs(
        task=str(runs["task"][first]),
        line=", ".join(_named(name, runs[name][first]) for name in by if name != "task"),
        setting=_setting(a, b) if len(here) else f"{runs['body'][first]} {shown(runs['size'][first])}",
        seeds=here["seed"].to_numpy(),
        bodies=labels(np.column_stack([here["seed"] * 0, *(here["seed"] * 0 + body for body in several)])),
        a=a,
        b=b,
        num_unpaired=int(best["num_runs"] - len(np.unique(rows_a)) - len(np.unique(rows_b))),
        num_other=len(places) - 1,
    )


def _named(name: str, value: Any) -> str:
    if name == "num_layers":
        return "all layers" if pd.isna(value) else f"{value:g} layers"
    return f"lr {value:g}" if name == "lr" else shown(value)


def _setting(a: Columns, b: Columns) -> str:
    """Bodies and learning rates; those of both sides where they differ."""
    bodies = dict.fromkeys(f"{side['body'][0]} {shown(side['size'][0])}" for side in (a, b))
    rates = dict.fromkeys(f"{side['lr'][0]:g}" for side in (a, b))
    return f"{' and '.join(bodies)}, lr {' and '.join(rates)}"
