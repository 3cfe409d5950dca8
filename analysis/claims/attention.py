"""The claim about attention maps (paper section 3.5): the first layer finds the bits that matter."""

from __future__ import annotations

import pandas as pd

from analysis import stats
from analysis.claims.claim import Bounds
from analysis.claims.context import Context
from analysis.claims.effect import AT_FLOOR, ONE_PAIR, Effect, is_clear
from analysis.claims.pairing import Side

AHEAD = Bounds(low=0.1)
"""Share of attention on the relevant bits above that of uniform attention, and above that of the untrained body."""
_LEAST_SPREAD = 0.01  # shares of attention are printed in percent


def masses(context: Context, side: Side) -> list[Effect]:
    """Attention on the relevant bits beyond uniform and untrained attention, of every run, on each task.

    Of several settings on a task the one trained as the paper's grids are is taken, then the one of the most runs.
    """
    if context.attention.empty:
        return []
    runs = context.runs.iloc[side.of(context)].merge(context.attention.drop(columns="task"), on="run_id")
    beyond = runs["mass_on_relevant"] - runs[["uniform", "untrained"]].max(axis=1)
    runs = runs.assign(beyond=beyond)[beyond.notna()]
    return [_effect(group, str(task)) for task, group in runs.groupby("task")]


def _effect(runs: pd.DataFrame, task: str) -> Effect:
    settings = ["body", "size", "num_layers", "task_args", "lr", "batch_size", "num_steps", "num_train_examples"]
    choice = runs.groupby(settings, dropna=False, sort=False).ngroup()
    ranked = runs.groupby(choice).agg(is_planned=("is_planned", "mean"), num_runs=("run_id", "size"))
    best = ranked.sort_values(["is_planned", "num_runs"], ascending=False, kind="stable").index[0]
    chosen = runs[choice == best]
    learned = stats.t_interval(chosen["accuracy"], of="mean accuracy")
    floor = float(chosen["floor"].max())
    one = ONE_PAIR if len(chosen) < 2 else ""
    is_above = is_clear(learned, floor)
    return Effect(
        task=task,
        line="",
        setting=f"{chosen['body'].iloc[0]} {chosen['size'].iloc[0]}, lr {chosen['lr'].iloc[0]:g}",
        values=tuple(chosen["beyond"].tolist()),
        seeds=tuple(chosen["seed"].tolist()),
        bodies=tuple(chosen["body_seed"].tolist()),
        least_spread=_LEAST_SPREAD,
        a=float(chosen["mass_on_relevant"].mean()),
        b=float(chosen[["uniform", "untrained"]].max(axis=1).mean()),
        floor=floor,
        cannot=one or ("" if is_above else AT_FLOOR),
        may_support=is_above,
        num_diverged=int(chosen["has_diverged"].sum()),
        num_unpaired=0,
        num_other=len(ranked) - 1,
    )
