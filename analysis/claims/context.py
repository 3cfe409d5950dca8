"""The rows that claims see at a time: one protocol, one scale, learning rates as specified or tuned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from analysis import load
from analysis.scope import scale_of
from models import TRAIN_SETS, Group
from study.grids.cells import DIFFERING_BODIES, DIFFERING_TASKS, Scale
from study.grids.paper_settings import SETTINGS
from study.spec import RunSpec

AS_SPECIFIED, TUNED = "as specified", "tuned"
REPLICATION = ("seed", "body_seed")
FIELDS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(RunSpec) if field.name not in REPLICATION)
"""Every field of a specification but the seeds."""
OPTIMISATION = (
    *("lr", "batch_size", "weight_decay", "warmup_steps", "schedule", "clip_norm", "dropout", "orthogonal_gain"),
    *("num_steps", "eval_every_steps"),
)
"""Fields that say how a run is trained and not what: tuned for each side by itself where they are tuned at all."""
USED = (
    *("run_id", *REPLICATION, *FIELDS, "scale", "tuning", "trains", "has_diverged", "is_own", "is_planned"),
    *("accuracy", "valid", "gap", "floor", "num_params_total", "num_steps_done", "wall_seconds"),
    # What analysis.speed reads.
    *("status", "chance_accuracy"),
)
"""Columns that claims see; see `_prepared` for those that are no columns of the ledger."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What claims are judged on.

    Attributes:
        protocol, scale, tuning: of all rows. A task and body whose protocols are the same thing counts under both.
        runs: done and diverged runs with the columns `USED`.
        codes: [number of runs, number of `FIELDS`] equal numbers where a field is equal.
        curves: evaluations of these and other runs.
        attention: rows of `analysis.attention.mass`; empty where there are none.
        missing: runs that were asked for and have no row, and failed ones, with the columns of a specification.
    """

    protocol: str
    scale: str
    tuning: str
    runs: pd.DataFrame
    codes: NDArray[np.int32]
    curves: pd.DataFrame
    attention: pd.DataFrame
    missing: pd.DataFrame

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns of `runs`, as arrays: what a pairing looks up hundreds of times."""
        return {name: self.runs[name].to_numpy() for name in self.runs.columns}

    @cached_property
    def _masks(self) -> dict[tuple[str, tuple[Any, ...]], NDArray[np.bool_]]:
        return {}

    def mask(self, column: str, values: tuple[Any, ...]) -> NDArray[np.bool_]:
        """Whether a run has one of these values in a column; None is a null."""
        if (column, values) not in self._masks:
            self._masks[column, values] = is_any(self.runs[column], values)
        return self._masks[column, values]

    def only(self, mask: pd.Series) -> Context:
        """The context with some of its runs."""
        keep = mask.to_numpy(dtype=bool)
        return dataclasses.replace(self, runs=self.runs[keep].reset_index(drop=True), codes=self.codes[keep])


def is_any(column: pd.Series, values: tuple[Any, ...]) -> NDArray[np.bool_]:
    """Whether each value of a column is one of these; None is a null."""
    present = column.isin(values)
    return (present | column.isna() if None in values else present).to_numpy(dtype=bool)


def contexts(frames: load.Frames, attention: pd.DataFrame | None = None) -> list[Context]:
    """The contexts that a ledger has runs in: scales, tunings, protocols, each in alphabetical order.

    Args:
        frames: the ledger.
        attention: of all runs.
    """
    frames = frames.compared
    runs = _prepared(frames.runs)
    has_failed = runs["status"] == "failed"
    missing = pd.concat([_scoped(frames.missing), runs[has_failed]], ignore_index=True)
    runs = runs[~has_failed & runs["accuracy"].notna()]
    runs = runs.assign(is_own=True).reset_index(drop=True)[list(USED)]
    # Strings as objects: single values are read from them, at which arrow's are slow.
    runs = runs.astype({name: object for name in runs.columns if not is_numeric_dtype(runs[name])})
    codes = np.column_stack([pd.factorize(runs[name])[0].astype(np.int32) for name in FIELDS])
    found = []
    for (scale, tuning), group in runs.groupby(["scale", "tuning"], sort=True):
        lacking = missing[(missing["scale"] == scale) & (missing["tuning"] == tuning)]
        for protocol in sorted(group["protocol"].unique()):
            here = group[_counts_under(group, protocol)]
            found.append(
                Context(
                    protocol=protocol,
                    scale=str(scale),
                    tuning=str(tuning),
                    runs=here.assign(is_own=here["protocol"] == protocol).reset_index(drop=True),
                    codes=codes[here.index],
                    curves=frames.curves,
                    attention=pd.DataFrame() if attention is None else attention,
                    missing=lacking[_counts_under(lacking, protocol)],
                )
            )
    return found


def _counts_under(runs: pd.DataFrame, protocol: str) -> pd.Series:
    """`study.grids.cells.counts_under` for a frame; other tasks and bodies of the user's own count as differing not."""
    differs = runs["task"].isin(DIFFERING_TASKS) | runs["body"].isin(DIFFERING_BODIES)
    return (runs["protocol"] == protocol) | ~differs


def _scoped(runs: pd.DataFrame) -> pd.DataFrame:
    tuning = runs["tuning"] if "tuning" in runs else pd.Series(AS_SPECIFIED, index=runs.index)
    return runs.assign(
        scale=runs["size"].map(lambda size: scale_of(None if pd.isna(size) else size)).astype(object),
        tuning=tuning.fillna(AS_SPECIFIED),
        trains=runs["train_set"].map(trained_groups),
    )


def _prepared(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with scale, tuning, and

    trains: trained groups in one spelling; floor: best trivial predictor or chance, whichever is higher; accuracy,
    valid: test and validation accuracy at the selected step, the floor for a run that diverged before it had any;
    gap: train minus test accuracy; is_planned: whether it is trained as the paper's grids of its scale are.
    """
    scoped = _scoped(runs)
    floor = scoped[["floor_accuracy", "chance_accuracy"]].max(axis=1)
    has_diverged = scoped["status"] == "diverged"
    return scoped.assign(
        floor=floor,
        accuracy=scoped["test_accuracy"].where(~has_diverged, scoped["test_accuracy"].fillna(floor)),
        valid=scoped["valid_accuracy"].where(~has_diverged, scoped["valid_accuracy"].fillna(floor)),
        gap=scoped["train_accuracy"] - scoped["test_accuracy"],
        has_diverged=has_diverged,
        is_planned=_is_planned(scoped),
    )


@cache
def trained_groups(train_set: str) -> str:
    """A train set in one spelling: presets spelled out, groups in the order of `models.Group`."""
    parts = train_set.split("+")
    groups = {group for part in parts for group in TRAIN_SETS.get(part, (part,))}
    order = {str(group): i for i, group in enumerate(Group)}
    return "+".join(sorted(map(str, groups), key=lambda group: (order.get(group, len(order)), group)))


def _is_planned(runs: pd.DataFrame) -> np.ndarray:
    """Whether learning rate, batch and steps are those of the paper's grids, where a ledger has others beside them."""
    plans = pd.DataFrame(
        [
            (str(scale), task, plan.lr, plan.batch_size, plan.num_steps, common.lstm_lr)
            for scale, common in SETTINGS.items()
            for task, plan in common.tasks.items()
        ],
        columns=["scale", "task", "plan_lr", "plan_batch", "plan_steps", "lstm_lr"],
    )
    joined = runs[["scale", "task", "body", "lr", "batch_size", "num_steps"]].merge(plans, how="left")
    lr = joined["plan_lr"].where(~joined["body"].str.startswith("lstm"), joined["lstm_lr"])
    same = (joined["batch_size"] == joined["plan_batch"]) & (joined["num_steps"] == joined["plan_steps"])
    return (same & (joined["lr"] == lr)).to_numpy()


assert {str(scale) for scale in Scale} == {"full", "small"}, "scales of grids and of reports are the same words"
