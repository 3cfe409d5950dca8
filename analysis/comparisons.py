"""Is one init better than another? Paired differences of test accuracy by seed, as a table and a forest plot."""

from __future__ import annotations

import itertools

import pandas as pd
import plotly.graph_objects as go

from analysis import accuracy, load, panels, style
from analysis.stats import crossed_interval, holm

INTERVAL_TEXT = (
    "95 % t interval of the mean difference, paired by seed (the wider of seeds and body seeds where both vary)"
)
CONFIRMED, DECIDED, UNDECIDED = "decided after Holm", "decided", "undecided"
NO_INTERVAL, NOT_RUN = "no interval", "not run"
VERDICTS = {
    CONFIRMED: "interval excludes 0, also when corrected for the number of comparisons (Holm)",
    DECIDED: "interval excludes 0; taken together with the other comparisons it could be chance",
    UNDECIDED: "interval includes 0",
    NO_INTERVAL: "one seed: a difference but no interval",
    NOT_RUN: "no seed finished with both initialisations",
}
_REFERENCE, _FALLBACK = "language", "random"
_NUMBERS = ("difference", "low", "high", "p_value", "p_holm")
Seeds = list[tuple[int, int, float]]
Results = dict[tuple, Seeds]
"""(setting, task, train set, init) -> (seed, body seed, test accuracy) of each done run."""
_SYMBOLS = {CONFIRMED: "diamond", DECIDED: "circle", UNDECIDED: "circle-open", NO_INTERVAL: "x-thin-open"}


def contrasts(inits: list[str]) -> list[tuple[str, str]]:
    """The pairs (a, b) whose difference a - b is asked for: language against every other, else all against random."""
    if _REFERENCE in inits:
        others = [init for init in load.order("init", inits) if init not in (_REFERENCE, _FALLBACK)]
        return [(_REFERENCE, other) for other in [*[_FALLBACK] * (_FALLBACK in inits), *others]]
    return [(other, _FALLBACK) for other in load.order("init", inits) if other != _FALLBACK and _FALLBACK in inits]


def table(frames: load.Frames) -> pd.DataFrame:
    """One row per setting, contrast, task and train set, where a launch asked for both inits.

    Columns: setting, a, b (inits; the difference is a - b), task, train_set, difference, low, high (fractions of 1;
    null where there are none), p_value, p_holm (adjusted over all rows of the setting that have a p-value), num_seeds
    (independent units behind the interval), method, verdict (a key of `VERDICTS`). Only done runs take part.
    """
    names = ["setting", *load.CELL]
    asked = set(pd.concat([frames.runs[names], frames.missing[names]]).itertuples(index=False, name=None))
    results = accuracy.seed_results(frames.runs)
    parts = [_setting_table(setting, runs, asked, results) for setting, runs in frames.runs.groupby("setting")]
    return pd.concat(parts, ignore_index=True)


def _setting_table(setting: object, runs: pd.DataFrame, asked: set[tuple], results: Results) -> pd.DataFrame:
    pairs = contrasts(load.order("init", runs["init"]))
    places = itertools.product(pairs, load.order("task", runs["task"]), load.order("train_set", runs["train_set"]))
    rows = []
    for (a, b), task, train_set in places:
        place = (setting, task, train_set)
        if not asked.issuperset((*place, init) for init in (a, b)):
            continue
        row = {"setting": setting, "a": a, "b": b, "task": task, "train_set": train_set}
        rows.append(row | _difference(*(results.get((*place, init), []) for init in (a, b))))
    names = ["setting", "a", "b", "task", "train_set", *_difference([], []), "p_holm", "verdict"]
    frame = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(_NUMBERS, float))
    tested = frame["p_value"].notna()
    frame.loc[tested, "p_holm"] = holm(frame.loc[tested, "p_value"].tolist())
    frame["verdict"] = [_verdict(row) for row in frame.to_dict("records")]
    return frame


def _difference(a: Seeds, b: Seeds) -> dict[str, object]:
    pairs = [(one, other) for one in a for other in b if one[0] == other[0]]
    if not pairs:
        nothing = dict.fromkeys(("difference", "low", "high", "p_value"))
        return {**nothing, "num_seeds": 0, "method": "no common seed"}
    interval = crossed_interval(
        [one[2] - other[2] for one, other in pairs],
        seeds=[one[0] for one, _ in pairs],
        body_seeds=[(one[1], other[1]) for one, other in pairs],
        of="mean paired difference of test accuracy",
    )
    return {
        "difference": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "p_value": interval.p_value,
        "num_seeds": interval.num_samples,
        "method": interval.method,
    }


def _verdict(row: dict[str, float]) -> str:
    if pd.isna(row["difference"]):
        return NOT_RUN
    if pd.isna(row["low"]):
        return NO_INTERVAL
    if row["low"] <= 0 <= row["high"]:
        return UNDECIDED
    return CONFIRMED if row["p_holm"] < 0.05 else DECIDED


def draw(rows: pd.DataFrame, *, columns: int = 2) -> go.Figure:
    """A forest plot per contrast: one line per task and train set, coloured by the init that is ahead where decided.

    Args:
        rows: rows of `table` of one setting, at least one.
        columns: most panels beside each other.
    """
    assert rows["setting"].nunique() == 1, "one figure per setting"
    pairs = list(dict.fromkeys(rows[["a", "b"]].itertuples(index=False, name=None)))
    places = list(dict.fromkeys(rows[["task", "train_set"]].itertuples(index=False, name=None)))
    shape = panels.grid(
        [f"{a} − {b}" for a, b in pairs],
        columns=columns,
        panel_height=max(180, 26 * len(places) + 20),
        x_title="",
        y_title="",
        num_entries=4,
        note_lines=2,
    )
    looks = style.looks([name for pair in pairs for name in pair])
    for (row, column), (a, b) in zip(shape.cells, pairs, strict=True):
        here, where = rows[(rows["a"] == a) & (rows["b"] == b)], {"row": row, "col": column}
        for verdict in VERDICTS:
            _draw_verdict(shape.figure, here[here["verdict"] == verdict], verdict, places, looks, where)
        shape.figure.add_vline(x=0, line={"color": style.NEUTRAL, "width": 1}, **where)
        shape.figure.update_yaxes(
            tickvals=list(range(len(places))),
            ticktext=[style.label(f"{task} · {style.train_set_text(train_set)}") for task, train_set in places],
            range=[len(places) - 0.5, -0.5],
            showgrid=True,
            showticklabels=column == 1,
            **where,
        )
        sides = f"difference (percentage points)<br>← {style.label(b)} ahead · {style.label(a)} ahead →"
        shape.figure.update_xaxes(title_text=sides, showgrid=True, range=_span(rows), **where)
    for verdict in [name for name in _SYMBOLS if name in set(rows["verdict"])]:
        mark = {"symbol": _SYMBOLS[verdict], "size": 10, "color": style.NEUTRAL, "line": {"width": 2}}
        key = go.Scatter(x=[None], y=[None], mode="markers", marker=mark, name=verdict, legendgroup=verdict)
        shape.figure.add_trace(key)
    return shape.figure


def _draw_verdict(
    figure: go.Figure,
    rows: pd.DataFrame,
    verdict: str,
    places: list[tuple[str, str]],
    looks: dict[str, style.Look],
    where: dict[str, int],
) -> None:
    heights = [places.index((row.task, row.train_set)) for row in rows.itertuples()]  # type: ignore[attr-defined]
    if verdict == NOT_RUN:
        for height in heights:
            text = {"text": "not run", "font": {"size": 11, "color": style.NEUTRAL}}
            figure.add_annotation(x=0, y=height, showarrow=False, xanchor="left", xshift=6, **text, **where)
        return
    for height, (_, row) in zip(heights, rows.iterrows(), strict=True):
        ahead = row["a"] if row["difference"] > 0 else row["b"]
        colour = looks[ahead].colour if verdict in (CONFIRMED, DECIDED) else style.NEUTRAL
        interval = {} if pd.isna(row["low"]) else {"error_x": _bar(row)}
        figure.add_trace(
            go.Scatter(
                x=[100 * row["difference"]],
                y=[height],
                mode="markers",
                marker={
                    "symbol": _SYMBOLS[verdict],
                    "size": 10,
                    "color": colour,
                    "line": {"width": 2, "color": colour},
                },
                name=verdict,
                legendgroup=verdict,
                showlegend=False,
                hovertemplate=f"%{{x:.1f}} points<br>{style.label(row['method'])}, {verdict}<extra></extra>",
                **interval,
            ),
            **where,
        )


def _bar(row: pd.Series) -> dict[str, object]:
    return {
        "type": "data",
        "array": [100 * (row["high"] - row["difference"])],
        "arrayminus": [100 * (row["difference"] - row["low"])],
        "thickness": 1.8,
        "width": 0,
    }


def _span(rows: pd.DataFrame) -> list[float]:
    """One range for all panels, from the data; intervals wider than +-100 points are cut at the edge."""
    ends = [100 * value for name in ("difference", "low", "high") for value in rows[name].dropna()]
    low, high = max(min(ends, default=0.0), -100.0), min(max(ends, default=0.0), 100.0)
    margin = 0.06 * max(high - low, 5.0)
    return [min(low, 0.0) - margin, max(high, 0.0) + margin]
