"""On which share of the learning rates which of two variants is ahead.

A claim that holds on a sliver of the axis is one about the learning rate.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import load, panels, stats, style
from analysis.search_frames import LEAST_RATES, PANEL
from analysis.search_rates import title

OUTCOMES = ("ahead, decided", "ahead, undecided", "behind, undecided", "behind, decided")
# Apart from the colours of inits, and told apart under the common colour-vision deficiencies (ColorBrewer's PRGn).
_COLOURS = ("#1b7837", "#a6dba0", "#c2a5cf", "#762a83")


def orderings(sweeps: pd.DataFrame) -> pd.DataFrame:
    """On which share of the learning rates, by logarithm, the first of two variants is ahead or behind.

    Every learning rate that both have stands for half of the way to its neighbours. Decided where the paired 95 %
    t interval over common seeds excludes zero; a variant all of whose seeds diverged at a rate is behind there.

    Columns: the panel, scale, a, b, one share (fraction) for each of `OUTCOMES`, num_rates, lowest, highest.
    """
    found = []
    for key, here in sweeps.groupby([*PANEL, "scale"], dropna=False, sort=False):
        lines = _lines(here)
        for a, b in itertools.combinations(sorted(lines), 2):
            rates = sorted(lines[a].keys() & lines[b].keys())
            if len(rates) < LEAST_RATES:
                continue
            told = [_outcome(lines[a][rate], lines[b][rate]) for rate in rates]
            weights = _weights(rates)
            shares = {name: sum(w for w, each in zip(weights, told, strict=True) if each == name) for name in OUTCOMES}
            about = {**dict(zip([*PANEL, "scale"], key, strict=True)), "a": a, "b": b}
            found.append({**about, **shares, "num_rates": len(rates), "lowest": rates[0], "highest": rates[-1]})
    columns = [*PANEL, "scale", "a", "b", *OUTCOMES, "num_rates", "lowest", "highest"]
    return pd.DataFrame(found, columns=columns)


def _lines(here: pd.DataFrame) -> dict[str, dict[float, dict[int, float]]]:
    """Variant -> learning rate -> seed -> accuracy of its done runs; no seed where all of them diverged.

    Bodies that were drawn are averaged over: a pretrained one is the same for every seed.
    """
    found: dict[str, dict[float, dict[int, float]]] = {}
    for variant, lr in here[["variant", "lr"]].drop_duplicates().itertuples(index=False):
        found.setdefault(str(variant), {})[float(lr)] = {}
    done = here[here["status"] == "done"]
    for (variant, lr, seed), accuracy in done.groupby(["variant", "lr", "seed"])["accuracy"].mean().items():
        found[str(variant)][float(lr)][int(seed)] = float(accuracy)
    return found


def _weights(rates: list[float]) -> list[float]:
    logs = np.log10(rates)
    edges = np.concatenate([[logs[0]], (logs[1:] + logs[:-1]) / 2, [logs[-1]]])
    return (np.diff(edges) / (logs[-1] - logs[0])).tolist()


def _outcome(a: Mapping[int, float], b: Mapping[int, float]) -> str:
    """How the first variant stands to the second at one learning rate; "" where they are exactly equal."""
    if not a or not b:
        return "" if not a and not b else OUTCOMES[3] if not a else OUTCOMES[0]
    both = sorted(a.keys() & b.keys())
    if both:
        interval = stats.t_interval([a[seed] - b[seed] for seed in both], of="difference of accuracies")
        difference = interval.estimate
        is_decided = interval.low is not None and interval.high is not None and interval.low * interval.high > 0
    else:
        difference, is_decided = statistics.fmean(a.values()) - statistics.fmean(b.values()), False
    if difference == 0:
        return ""
    return OUTCOMES[(0 if is_decided else 1) if difference > 0 else (3 if is_decided else 2)]


def draw(shares: pd.DataFrame, *, is_narrow: bool = False) -> go.Figure:
    """A panel per task with a bar per pair of variants, split by who is ahead on which share of the learning rates.

    Args:
        shares: of `orderings`.
        is_narrow: with names on two lines, for a narrow page.
    """
    groups = list(shares.groupby(PANEL, dropna=False, sort=False))
    groups.sort(key=lambda group: load.order("task", shares["task"]).index(group[0][0]))
    shape = panels.grid(
        [title(key, shares) for key, _ in groups],
        columns=1,
        panel_height=(38 if is_narrow else 26) * max(len(here) for _, here in groups) + 12,
        x_title="share of the learning rates (log axis)",
        y_title="",
        num_entries=(2 if is_narrow else 1) * len(OUTCOMES),  # names as long as these stand alone on a line
    )
    against = "<br>against " if is_narrow else " against "
    for (row, column), (_, here) in zip(shape.cells, groups, strict=True):
        names = [f"{style.label(each.a)}{against}{style.label(each.b)}" for each in here.itertuples()]
        for outcome, colour in zip(OUTCOMES, _COLOURS, strict=True):
            trace = go.Bar(
                x=here[outcome].tolist(),
                y=names,
                orientation="h",
                name=f"first {outcome}",
                legendgroup=outcome,
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"first {outcome}: %{{x:.0%}}<extra>%{{y}}</extra>",
            )
            shape.figure.add_trace(trace, row=row, col=column)
        shape.figure.update_xaxes(range=[0, 1], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1], row=row, col=column)
        size = 10 if is_narrow else 12
        shape.figure.update_yaxes(autorange="reversed", tickfont={"size": size}, row=row, col=column)
    shape.figure.update_layout(barmode="stack", bargap=0.25)
    panels.name_once(shape.figure)
    return shape.figure
