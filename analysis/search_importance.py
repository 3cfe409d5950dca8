"""Which of the searched values mattered: functional analysis of variance (Hutter et al. 2014) by Optuna.

Proposals that were stopped early have no final value, and those that were not are a choice of the best. So what is
explained is the accuracy at the first rung, which every proposal reached after the same number of updates.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from analysis import panels, style
from analysis.search_frames import label

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_PROPOSALS = 12
"""Fewer proposals than this say nothing about ten axes."""
MOST_SEARCHES = 12
_NUM_TREES = 16
_NAMES = ["task", "protocol", "body", "size", "scale", "study", "train_set", "init"]


def table(trials: pd.DataFrame) -> pd.DataFrame:
    """Share of the variance that each axis explains, per search; axes that only some proposals have are left out.

    Columns: what the search is of, name, parameter, importance (fraction; they add up to 1), num_proposals.
    """
    found = []
    for _, study in list(trials.groupby("study", sort=True))[:MOST_SEARCHES]:
        reached = study[study["rung_accuracies"].map(len) > 0]
        if len(reached) < LEAST_PROPOSALS:
            continue
        about = dict(reached.iloc[0][_NAMES])
        about["name"] = label(about["train_set"], about["init"])
        for parameter, importance in _importances(reached).items():
            found.append({**about, "parameter": parameter, "importance": importance, "num_proposals": len(reached)})
    return pd.DataFrame(found, columns=[*_NAMES, "name", "parameter", "importance", "num_proposals"])


def _importances(reached: pd.DataFrame) -> dict[str, float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chosen = [json.loads(text) for text in reached["params"]]
    common = [name for name in chosen[0] if all(name in each for each in chosen)]
    values = {name: [each[name] for each in chosen] for name in common}
    varied = [name for name in common if len(set(values[name])) > 1]
    scores = [float(accuracies[0]) for accuracies in reached["rung_accuracies"]]
    if not varied or len(set(scores)) == 1:
        return {}
    space = {name: _domain(name, values[name]) for name in varied}
    study = optuna.create_study(direction="maximize")
    for number, score in enumerate(scores):
        params = {name: values[name][number] for name in varied}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=score))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_NUM_TREES, seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _domain(name: str, values: list) -> BaseDistribution:
    import optuna

    if name in ("batch_size", "dropout") or isinstance(values[0], str):
        return optuna.distributions.CategoricalDistribution(sorted(set(values)))
    is_log = min(values) > 0 and max(values) / min(values) > 10
    return optuna.distributions.FloatDistribution(min(values), max(values), log=is_log)


def draw(rows: pd.DataFrame, *, columns: int = 3) -> go.Figure:
    """A panel per search: a bar per axis, the most important on top."""
    groups = list(rows.groupby("study", sort=False))
    num_axes = max(len(here) for _, here in groups)
    shape = panels.grid(
        [f"{here['task'].iloc[0]} · {here['name'].iloc[0]}" for _, here in groups],
        columns=columns,
        panel_height=22 * num_axes + 20,
        x_title="share of the variance",
        y_title="",
        num_entries=0,
    )
    for (row, column), (_, here) in zip(shape.cells, groups, strict=True):
        ordered = here.sort_values("importance")
        trace = go.Bar(
            x=ordered["importance"].tolist(),
            y=ordered["parameter"].tolist(),
            orientation="h",
            marker={"color": style.INIT_LOOKS["language"].colour},
            showlegend=False,
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
        shape.figure.add_trace(trace, row=row, col=column)
        shape.figure.update_xaxes(range=[0, 1], tickformat=".0%", nticks=5, row=row, col=column)
        shape.figure.update_yaxes(tickfont={"size": 11}, row=row, col=column)
    return shape.figure
