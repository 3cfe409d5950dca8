"""The arithmetic of pairing, in arrays: which setting and place are taken, and which runs are partners.

Arrays named `rows` hold positions of runs in the context; `is_b` and `place` go with them, run by run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Column = NDArray[Any]
Columns = dict[str, Column]
Mask = NDArray[np.bool_]


def labels(codes: Column) -> Rows:
    """A number for each row of a matrix of codes [n, m]: equal rows have equal numbers, from 0 on."""
    found = np.zeros(len(codes), dtype=np.intp)
    for column in codes.T:
        least, most = (int(column.min()), int(column.max())) if len(column) else (0, 0)
        if most > least:
            found = np.unique(found * (most - least + 1) + (column - least), return_inverse=True)[1]
    return found


def swept(place: Rows, is_b: Mask, rates: Column, least: int) -> Mask:
    """Whether both sides have at least so many learning rates at the place of a run."""
    side = 2 * place + is_b
    number = np.bincount(np.unique(np.column_stack([side, rates]), axis=0)[:, 0], minlength=2 * int(place.max()) + 2)
    return np.minimum(number[2 * place], number[2 * place + 1]) >= least


def best_settings(runs: Columns, rows: Rows, side: Rows, choice: Rows, *, by_validation: bool) -> Mask:
    """Whether a run is of the chosen setting of its side at its place.

    Args:
        runs: the context's columns.
        rows: positions.
        side: [n] numbers side and place of each run.
        choice: [n] numbers its setting among those of all sides and places.
        by_validation: whether the paper's grid's own setting is nothing special.
    """
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


@dataclass(frozen=True)
class Matches:
    """Pairs of runs: where they are, and the positions of both."""

    place: Rows
    a: Rows
    b: Rows

    def at(self, place: int) -> tuple[Rows, Rows]:
        """Positions of the pairs of one place."""
        here = self.place == place
        return self.a[here], self.b[here]


def matched(runs: Columns, rows: Rows, is_b: Mask, place: Rows) -> Matches:
    """Runs with the same seed at the same place; with the same body, where both sides have several for that seed."""
    cell = labels(np.column_stack([place, runs["seed"][rows]]))
    order = np.argsort(cell[is_b], kind="stable")
    cells_b = cell[is_b][order]
    first, last = (np.searchsorted(cells_b, cell[~is_b], side=side) for side in ("left", "right"))
    partners = last - first
    which = np.repeat(np.arange(len(partners)), partners)
    within = np.arange(len(which)) - np.repeat(np.cumsum(partners) - partners, partners)
    a, b = rows[~is_b][which], rows[is_b][order][first[which] + within]
    cells, places = cell[~is_b][which], place[~is_b][which]
    bodies = np.column_stack([runs["body_seed"][a], runs["body_seed"][b]])
    size = int(cell.max()) + 1
    several = np.minimum(*(_num_distinct(cells, column, size) for column in bodies.T)) > 1
    is_same = bodies[:, 0] == bodies[:, 1]
    shares = np.bincount(cells, is_same, minlength=size) > 0
    keep = is_same | ~(several & shares)[cells]
    return Matches(places[keep], a[keep], b[keep])


def _num_distinct(groups: Rows, values: Column, size: int) -> Rows:
    pairs = np.unique(np.column_stack([groups, values]), axis=0)
    return np.bincount(pairs[:, 0], minlength=size)


@dataclass(frozen=True)
class Places:
    """Places of a comparison, the best first: number, position of a run of side a, number of runs of both sides."""

    place: Rows
    first: Rows
    num_runs: Rows


def ranked(runs: Columns, rows: Rows, is_b: Mask, place: Rows, matches: Matches, body_and_task: Column) -> Places:
    """The places by tasks that their body was run on, share of the paper's grids' own runs, pairs, validation accuracy.

    Args:
        runs, rows, is_b, place: as above.
        matches: the pairs.
        body_and_task: [number of runs in the context, m] codes of the body, and in the last column of the task.
    """
    places, index = np.unique(place[~is_b], return_index=True)
    first = rows[~is_b][index]
    size = int(place.max()) + 1
    number = np.bincount(place, minlength=size)
    planned, valid = (
        np.bincount(place, runs[name][rows].astype(float), minlength=size) / np.maximum(number, 1)
        for name in ("is_planned", "valid")
    )
    body = labels(body_and_task[first, :-1])
    num_tasks = _num_distinct(body, body_and_task[first, -1], len(first))[body]
    num_pairs = np.bincount(matches.place, minlength=size)
    order = np.lexsort((-valid[places], -num_pairs[places], -planned[places], -num_tasks))
    return Places(places[order], first[order], number[places][order])
