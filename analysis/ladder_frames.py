"""Ladders from a frame of runs, such as analysis.load gives or any other with the ledger's columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.ladders import Ladder
from study.errors import UserError, unknown_name
from study.spec import RunSpec

_REPLICATION = ("seed", "body_seed")
_ERROR, _ACCURACY = "_error", "_accuracy"
Between = tuple[float | str, float | str]
"""Floor and ceiling: accuracies, or columns of accuracies."""


def ladders(
    frame: pd.DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    by: str | Sequence[str] = (),
    rung: str | Sequence[str] | None = None,
    between: Between | None = None,
    resolution: float | None = None,
) -> dict[str, Ladder]:
    """One ladder for each value of `by`, under its name ("init random").

    Args:
        frame: one row per run with the ledger's columns (docs/columns.md); runs that are done are fitted, the others
            are counted.
        x: what the rungs differ in: one column, or two for a joint law.
        y: a column where lower is better, or `<split>_error` for 1 - `<split>_accuracy`.
        by: columns that tell variants apart.
        rung: columns that tell rungs apart where x differs a little between seeds (operations until an early stop);
            x is then the geometric mean. By default x itself.
        between: floor and ceiling, each an accuracy or a column of accuracies, between which an error is rescaled: 1
            at the floor, 0 at the ceiling.
        resolution: see Ladder; in the units of y as it is fitted.

    Raises:
        UserError: an unknown column, an x that is null or not positive, a run that is done without y, a rung whose
            runs differ in more than their seeds, or two runs with the same seeds.
    """
    inputs, variants = _names(x), _names(by)
    rungs = inputs if rung is None else _names(rung)
    for name in (*inputs, *variants, *rungs, *_REPLICATION, "status"):
        if name not in frame:
            raise unknown_name("column", name, map(str, frame.columns))
    rows = frame.assign(fitted=_measured(frame, y, between))
    found: dict[str, Ladder] = {}
    for key, mine in rows.groupby(variants, dropna=False) if variants else [((), rows)]:
        name = ", ".join(f"{column} {value}" for column, value in zip(variants, key, strict=True)) or "all runs"
        done = mine[mine["status"] == "done"]
        if len(done):
            _check(done, name, inputs, rungs, y)
            chance = _chance(done, name, between, y)
            found[name] = _ladder(mine, name, inputs, rungs, y, chance, resolution)
    if not found:
        raise UserError(f"none of {len(rows)} runs is done; run the grid to its end first")
    return found


def table(found: Mapping[str, Ladder]) -> pd.DataFrame:
    """The rungs of several ladders below each other, with the columns of Ladder.table."""
    return pd.concat([ladder.table for ladder in found.values()], ignore_index=True)


def _ladder(
    rows: pd.DataFrame, name: str, inputs: list[str], rungs: list[str], y: str, chance: float | None,
    resolution: float | None,
) -> Ladder:  # fmt: skip
    number = rows.groupby(rungs, dropna=False).ngroup().to_numpy()
    status = rows["status"].to_numpy()
    done = rows[status == "done"]
    means = np.log(done[inputs].astype(float)).groupby(number[status == "done"]).mean().sort_values(inputs)
    order = {group: r for r, group in enumerate(means.index)}
    rung = np.array([order[group] for group in number[status == "done"]])
    sort = np.argsort(rung, kind="stable")

    def counts(what: str) -> np.ndarray:
        return np.array([int(((number == group) & (status == what)).sum()) for group in order])

    empty = rows[~np.isin(number, list(order))]
    words = empty[rungs].drop_duplicates().apply(lambda row: ", ".join(f"{k} {v}" for k, v in row.items()), axis=1)
    return Ladder(
        of=name,
        x_names=tuple(inputs),
        y_name=y,
        x=np.exp(means.to_numpy()),
        rung=rung[sort],
        y=done["fitted"].to_numpy(dtype=float)[sort],
        seed=done["seed"].to_numpy()[sort],
        body_seed=done["body_seed"].to_numpy()[sort],
        num_diverged=counts("diverged"),
        num_failed=counts("failed"),
        chance=chance,
        resolution=resolution,
        empty_rungs=tuple(words) if len(empty) else (),
    )


def _measured(frame: pd.DataFrame, y: str, between: Between | None) -> pd.Series:
    """The fitted quantity of each run: a column as it is, or an error made of an accuracy."""
    accuracy = y.removesuffix(_ERROR) + _ACCURACY
    if y.endswith(_ACCURACY):
        raise UserError(f"{y} rises and the fits want what falls; give {y.removesuffix(_ACCURACY)}{_ERROR}")
    if not y.endswith(_ERROR) or accuracy not in frame:
        errors = [str(c).removesuffix(_ACCURACY) + _ERROR for c in frame.columns if str(c).endswith(_ACCURACY)]
        if between is not None:
            raise unknown_name("error to rescale", y, errors)
        if y not in frame:
            raise unknown_name("column", y, [*map(str, frame.columns), *errors])
        return frame[y].astype(float)
    floor, ceiling = (_limit(frame, limit) for limit in between or (0.0, 1.0))
    if not (floor < ceiling).all():
        raise UserError(f"between {between}: the floor must be below the ceiling in every run")
    return (ceiling - frame[accuracy].astype(float)) / (ceiling - floor)


def _limit(frame: pd.DataFrame, limit: float | str) -> pd.Series:
    if isinstance(limit, str):
        if limit not in frame:
            raise unknown_name("column", limit, map(str, frame.columns))
        return frame[limit].astype(float)
    return pd.Series(float(limit), index=frame.index)


def _chance(done: pd.DataFrame, name: str, between: Between | None, y: str) -> float | None:
    """y of the better of a uniform guess and the best trivial predictor; None where y is no error or both are null."""
    known = [column for column in ("chance_accuracy", "floor_accuracy") if column in done]
    if not y.endswith(_ERROR) or not known:
        return None
    best = done[known].astype(float).max(axis=1)
    floor, ceiling = (_limit(done, limit) for limit in between or (0.0, 1.0))
    errors = ((ceiling - best) / (ceiling - floor)).dropna().unique()
    if len(errors) > 1 and np.ptp(errors) > 1e-9:
        raise UserError(f"{name}: chance levels {errors.tolist()[:3]} in one ladder; tell tasks apart in by")
    return float(errors[0]) if len(errors) else None


def _check(done: pd.DataFrame, name: str, inputs: list[str], rungs: list[str], y: str) -> None:
    values = done[inputs].to_numpy(dtype=float)
    bad = ~(np.isfinite(values) & (values > 0)).all(axis=1)
    if bad.any():
        raise UserError(
            f"{name}: {' or '.join(inputs)} is null or not positive in {int(bad.sum())} of {len(done)} runs; leave "
            "them out or choose another x (a null num_train_examples is the whole set: fill in its size)"
        )
    if not np.isfinite(done["fitted"].to_numpy(dtype=float)).all():
        raise UserError(f"{name}: {y} is null or not finite in a run that is done; leave that run out")
    spec = [field.name for field in dataclasses.fields(RunSpec)]
    fixed = [column for column in spec if column in done and column not in (*_REPLICATION, *inputs)]
    fixed = [column for column in fixed if done[column].nunique(dropna=False) > 1]  # cheaper than group by group
    num = done.groupby(rungs, dropna=False)[fixed].nunique(dropna=False).max() if fixed else pd.Series(dtype=int)
    mixed = [str(column) for column in num.index if num[column] > 1]
    if mixed:
        raise UserError(f"{name}: runs of one rung differ in {', '.join(mixed)}; name it in by, or select one value")
    if done.duplicated([*rungs, *_REPLICATION]).any():
        raise UserError(f"{name}: two runs of a rung have the same seed and body_seed; tell them apart in by")


def _names(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
