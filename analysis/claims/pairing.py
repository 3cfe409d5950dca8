"""Which runs are set against each other: equal in every field but those that the claim compares or leaves free.

Where a ledger holds several candidates, what is compared is chosen without looking at test accuracy:
- a side's setting (learning rate, steps, ... where they are free): the paper's grid's own, then the most seeds, then
  the best mean validation accuracy; a claim about tuned learning rates goes by seeds and validation accuracy alone;
- the place on each line (body, size, data, ...): the body that most tasks were run with, then the paper's grid's own
  training, the most pairs, the best mean validation accuracy of both sides together. Other places are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.choosing import Column, Columns, Mask, Rows, best_settings, labels, matched, ranked, swept
from analysis.claims.context import FIELDS, OPTIMISATION, TUNED, Context, is_any, trained_groups
from analysis.settings import shown

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
        mask = np.ones(len(context.runs), dtype=bool)
        for column, values in self._wanted():
            mask &= context.mask(column, values)
        return np.flatnonzero(mask)

    def count(self, runs: pd.DataFrame) -> int:
        """How many of some runs are on this side."""
        mask = np.ones(len(runs), dtype=bool)
        for column, values in self._wanted():
            mask &= is_any(runs[column], values)
        return int(mask.sum())

    def _wanted(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Columns with the values that they may have; train sets in their one spelling."""
        for column, wanted in self.where.items():
            values = wanted if isinstance(wanted, tuple) else (wanted,)
            if column == "train_set":
                yield "trains", tuple(trained_groups(value) for value in values)
            else:
                yield column, values


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

    def where(self, mask: Mask) -> Pairs:
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
        keep &= swept(place, is_b, context.codes[rows, FIELDS.index("lr")], least_rates)
    rows, is_b, place = rows[keep], is_b[keep], place[keep]
    if not len(rows):
        return []
    fields = [i for i, name in enumerate(FIELDS) if name in loose]
    choice = labels(np.column_stack([place, is_b, context.codes[rows][:, fields]]))
    chosen = best_settings(context.columns, rows, 2 * place + is_b, choice, by_validation=by_validation)
    return _lines(context, rows[chosen], is_b[chosen], place[chosen], by)


def _lines(context: Context, rows: Rows, is_b: Mask, place: Rows, by: tuple[str, ...]) -> list[Pairs]:
    """The best place of every line, from the runs of the chosen settings."""
    runs = context.columns
    matches = matched(runs, rows, is_b, place)
    body_and_task = context.codes[:, [FIELDS.index(name) for name in (*_BODY, "task")]]
    places = ranked(runs, rows, is_b, place, matches, body_and_task)
    line = labels(context.codes[places.first][:, [FIELDS.index(name) for name in by]])
    found = []
    for best in np.sort(np.unique(line, return_index=True)[1]):
        first = int(places.first[best])
        a, b = matches.at(int(places.place[best]))
        others = ", ".join(_named(name, runs[name][first]) for name in by if name != "task")
        found.append(
            Pairs(
                task=str(runs["task"][first]),
                line=others,
                setting=_setting(runs, a[0], b[0]) if len(a) else _setting(runs, first, first),
                seeds=runs["seed"][a],
                bodies=_bodies(runs["body_seed"][a], runs["body_seed"][b]),
                a={name: column[a] for name, column in runs.items()},
                b={name: column[b] for name, column in runs.items()},
                num_unpaired=int(places.num_runs[best] - len(np.unique(a)) - len(np.unique(b))),
                num_other=int((line == line[best]).sum()) - 1,
            )
        )
    return found


def _bodies(*sides: Column) -> Rows:
    """What names the bodies of each pair: the body seeds of those sides that have several."""
    return labels(np.column_stack(sides))


def _named(name: str, value: Any) -> str:
    if name == "num_layers":
        return "all layers" if pd.isna(value) else f"{value:g} layers"
    return f"lr {value:g}" if name == "lr" else shown(value)


def _setting(runs: Columns, a: int, b: int) -> str:
    """Bodies and learning rates of two runs; those of both where they differ."""
    bodies = dict.fromkeys(f"{runs['body'][row]} {shown(runs['size'][row])}" for row in (a, b))
    rates = dict.fromkeys(f"{runs['lr'][row]:g}" for row in (a, b))
    return f"{' and '.join(bodies)}, lr {' and '.join(rates)}"
