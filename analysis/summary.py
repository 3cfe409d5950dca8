"""What the numbers say, in plain sentences made from the tables: every statement with its interval and its seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import comparisons
from analysis.style import percent, points, train_set_text

_FROZEN = "fpt"
_DECIDED = (comparisons.CONFIRMED, comparisons.DECIDED)


@dataclass(frozen=True)
class Summary:
    """Sentences of one setting.

    Attributes:
        answer: the answer to the report's question, one or two sentences.
        decided: one sentence per comparison whose interval excludes zero, largest difference first.
        undecided: one sentence per comparison that was made but is open.
        trivial: one sentence per task and train set where nothing beat the best trivial predictor.
    """

    answer: str
    decided: list[str]
    undecided: list[str]
    trivial: list[str]


def summarise(cells: pd.DataFrame, rows: pd.DataFrame) -> Summary:
    """Sentences from the accuracy table and the comparison table of one setting."""
    settled = rows[rows["verdict"].isin(_DECIDED)]
    settled = settled.reindex(settled["difference"].abs().sort_values(ascending=False, kind="stable").index)
    still_open = rows[rows["verdict"].isin([comparisons.UNDECIDED, comparisons.NO_INTERVAL])]
    return Summary(
        answer=_answer(rows),
        decided=[_decided(row) for row in settled.itertuples()],
        undecided=[_undecided(row) for row in still_open.itertuples()],
        trivial=_trivial(cells),
    )


def _answer(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "This setting holds no two initialisations, so there is nothing to compare yet."
    a, b = rows["a"].iloc[0], rows["b"].iloc[0]
    frozen = rows[(rows["train_set"] == _FROZEN) & (rows["a"] == a) & (rows["b"] == b)]
    if frozen.empty:
        return f"No run trains {_FROZEN}, the frozen transformer, so the question itself is open; see the comparisons."
    settled = frozen[frozen["verdict"].isin(_DECIDED)]
    ahead = settled.loc[settled["difference"] > 0, "task"].tolist()
    behind = settled.loc[settled["difference"] < 0, "task"].tolist()
    rest = frozen.loc[~frozen["verdict"].isin(_DECIDED), "task"].tolist()
    parts = [
        f"{verb} on {_listed(names)}"
        for verb, names in (
            (f"beat {b} ones", ahead),
            (f"lose to {b} ones", behind),
            (f"are not told apart from {b} ones", rest),
        )
        if names
    ]
    survivors = int((settled["verdict"] == comparisons.CONFIRMED).sum())
    correction = ""
    if len(settled):
        correction = (
            f" Of {count(len(settled), 'decided difference')} {survivors} also {'holds' if survivors == 1 else 'hold'}"
            f" when corrected for all {int(rows['p_value'].notna().sum())} comparisons made here (Holm)."
        )
    return f"With the transformer frozen ({_FROZEN}), {a} weights {_listed(parts)}.{correction}"


def _decided(row: Any) -> str:
    better, worse = (row.a, row.b) if row.difference > 0 else (row.b, row.a)
    sign = 1 if row.difference > 0 else -1
    low, high = sorted((sign * row.low, sign * row.high))
    held = ", also after Holm's correction" if row.verdict == comparisons.CONFIRMED else ""
    return (
        f"On {row.task} under {train_set_text(row.train_set)}, {better} beats {worse} by "
        f"{points(sign * row.difference)} points [{points(low)}, {points(high)}] "
        f"over {count(row.num_seeds, 'seed')}{held}."
    )


def _undecided(row: Any) -> str:
    where = (
        f"On {row.task} under {train_set_text(row.train_set)}, {row.a} minus {row.b} is {points(row.difference)} points"
    )
    if row.verdict == comparisons.NO_INTERVAL:
        return f"{where} from a single seed: no interval, so nothing is decided."
    return f"{where} [{points(row.low)}, {points(row.high)}] over {count(row.num_seeds, 'seed')}: undecided."


def _trivial(cells: pd.DataFrame) -> list[str]:
    """Tasks and train sets where no init's interval lies above the best trivial predictor."""
    sentences = []
    for (task, train_set), group in cells.groupby(["task", "train_set"], sort=False):
        known = group[group["low"].notna() & group["floor"].notna()]
        if len(known) and (known["low"] <= known["floor"]).all():
            floor = percent(known["floor"].iloc[0])
            place = f"On {task} under {train_set_text(train_set)}"
            sentences.append(f"{place}, no initialisation is shown to beat the best trivial predictor ({floor}).")
    return sentences


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 seed", "3 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
