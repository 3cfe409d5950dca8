"""The claim about the size of the body (paper table 8)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import stats
from analysis.claims.claim import Bounds
from analysis.claims.context import FIELDS, OPTIMISATION, TUNED, Context
from analysis.claims.effect import AT_FLOOR, NO_FLOOR, ONE_PAIR, Effect, is_clear
from analysis.claims.pairing import Side

GROWTH = Bounds(low=0.0025)
"""Accuracy (fraction) per doubling of the body's parameters."""
_VARIED = ("size",)


def growth(context: Context, side: Side) -> list[Effect]:
    """Slope of test accuracy over log2 of all parameters, by least squares within each seed, on each task.

    Only seeds that every size has take part. Of several places on a task (data, training, ...) the one with the most
    sizes is taken, then the one trained as the paper's grids are, then the one of best mean validation accuracy.
    """
    is_tuned = context.tuning == TUNED
    loose = {*side.where, *_VARIED, "protocol", *(OPTIMISATION if is_tuned else ())}
    runs = context.runs.iloc[side.of(context)]
    runs = runs[runs["num_layers"].isna() & runs["num_params_total"].notna()]
    key = [name for name in FIELDS if name not in loose]
    runs = runs.assign(place=runs.groupby(key, dropna=False, sort=False).ngroup())
    runs = runs[runs.groupby("place")["size"].transform("nunique") > 1]
    if runs.empty:
        return []
    places = runs.groupby("place").agg(
        task=("task", "first"),
        num_sizes=("size", "nunique"),
        is_planned=("is_planned", "mean"),
        valid=("valid", "mean"),
    )
    places = places.sort_values(["num_sizes", "is_planned", "valid"], ascending=False, kind="stable").reset_index()
    others = places["task"].value_counts() - 1
    best = places.drop_duplicates("task")
    return [
        _slope(runs[runs["place"] == place], str(task), int(others[task]))
        for place, task in best[["place", "task"]].itertuples(index=False, name=None)
    ]


def _slope(runs: pd.DataFrame, task: str, num_other: int) -> Effect:
    sizes = runs.groupby("size")["num_params_total"].median().sort_values()
    accuracy = runs.pivot_table(index="seed", columns="size", values="accuracy", aggfunc="mean")[sizes.index].dropna()
    doublings = np.log2(sizes.to_numpy(dtype=float))
    centred = doublings - doublings.mean()
    slopes = accuracy.to_numpy() @ centred / (centred @ centred)
    floor = runs["floor"].max()
    first, last = sizes.index[0], sizes.index[-1]
    ends = {end: accuracy[end].tolist() for end in (first, last)}
    clear = {end: _is_clear(values, floor) for end, values in ends.items()}
    cannot = ""
    if len(accuracy) < 2:
        cannot = ONE_PAIR
    elif pd.isna(floor):
        cannot = NO_FLOOR
    elif not any(clear.values()):
        cannot = AT_FLOOR
    return Effect(
        task=task,
        line="",
        setting=f"{runs['body'].iloc[0]} {', '.join(map(str, sizes.index))}",
        values=tuple(slopes.tolist()),
        seeds=tuple(accuracy.index.tolist()),
        bodies=tuple(0 for _ in accuracy.index),
        a=float(np.mean(ends[last])) if ends[last] else None,
        b=float(np.mean(ends[first])) if ends[first] else None,
        floor=None if pd.isna(floor) else float(floor),
        cannot=cannot,
        may_support=clear[last],
        num_diverged=int(runs["has_diverged"].sum()),
        num_unpaired=int((~runs["seed"].isin(accuracy.index)).sum()),
        num_other=num_other,
    )


def _is_clear(accuracies: list[float], floor: float) -> bool:
    return bool(accuracies) and is_clear(stats.t_interval(accuracies, of="mean accuracy"), floor)
