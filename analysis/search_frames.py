"""What searches left in a ledger, as frames: every proposal, and learning rates that were swept in equal steps.

A sweep is what the critique's figure 1 shows: runs that differ in nothing but the learning rate and seeds. It comes
from the runs of a grid (test accuracy) or from a search with sampler `grid` (validation accuracy, all a search reads).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import load, scope, settings
from analysis.style import train_set_text
from study import search_rows
from study.ledger import Ledger
from study.ledger_schema import SPEC_COLUMNS

LEAST_RATES = 3
"""Learning rates that make a sweep."""
TEST, VALIDATION = "test accuracy", "validation accuracy"
PANEL = ["task", "protocol", "body", "size", "metric"]
"""What stands in one panel: everything else that differs between two lines is their variant."""
_FREE = ("lr", "seed", "body_seed")
_SPEC = [column.name for column in SPEC_COLUMNS]
_SWEEP = [
    *PANEL,
    "scale",
    "train_set",
    "init",
    "variant",
    "lr",
    "seed",
    "body_seed",
    "accuracy",
    "status",
    "chance",
    "floor",
]


@dataclass(frozen=True)
class Searches:
    """Every proposal of a ledger's searches.

    Attributes:
        trials: the columns of `study.search_rows.TRIALS`, and `scale`.
        problems: one line for each table that could not be read.
    """

    trials: pd.DataFrame
    problems: tuple[str, ...] = ()


def read(frames: load.Frames) -> Searches:
    """The searches of the ledger that the frames come from."""
    table, problems = search_rows.read(Ledger(frames.source).storage)
    trials = table.to_pandas()
    trials["scale"] = [scope.scale_of(None if pd.isna(size) else size) for size in trials["size"]]
    return Searches(trials, tuple(problems))


def sweeps(frames: load.Frames, searches: Searches) -> pd.DataFrame:
    """One row per run of a sweep: panel, train set, init, variant, learning rate, seeds, accuracy (fraction), status.

    A variant that was swept under several settings within one panel is shown under the one with the most runs.
    """
    runs = frames.runs[frames.runs["tuning"] != settings.TUNED] if "tuning" in frames.runs else frames.runs
    runs = runs.assign(
        metric=TEST, accuracy=runs["test_accuracy"], chance=runs["chance_accuracy"], floor=runs["floor_accuracy"]
    )
    tables = [runs, _as_runs(searches.trials[searches.trials["sampler"] == "grid"])]
    rows = pd.concat([part.astype(object) for part in tables if len(part)] or [runs], ignore_index=True)
    rows = rows[rows["status"].isin(["done", "diverged"])]
    key = ["metric", *(name for name in _SPEC if name not in _FREE)]
    rows = rows[rows.groupby(key, dropna=False)["lr"].transform("nunique") >= LEAST_RATES]
    rows["group"] = rows.groupby(key, dropna=False).ngroup()
    rows["size_of_group"] = rows.groupby("group")["lr"].transform("size")
    largest = rows.sort_values(["size_of_group", "group"], ascending=[False, True])
    rows = rows[rows["group"].isin(largest.drop_duplicates([*PANEL, "train_set", "init"])["group"])].copy()
    rows["scale"] = [scope.scale_of(None if pd.isna(size) else size) for size in rows["size"]]
    rows["variant"] = [label(*pair) for pair in zip(rows["train_set"], rows["init"], strict=True)]
    return rows.astype(dict.fromkeys(("lr", "accuracy", "chance", "floor"), float))[_SWEEP].reset_index(drop=True)


def label(train_set: str, init: str) -> str:
    """A variant in words."""
    return f"{train_set_text(train_set)}, {init}"


def _as_runs(trials: pd.DataFrame) -> pd.DataFrame:
    """The seeds of proposals as rows of runs; warm-up and seeds of bodies are the same for all of a study."""
    rows = trials.assign(metric=VALIDATION, chance=trials["chance_accuracy"], floor=None, warmup_steps=0, body_seed=0)
    rows["status"] = rows["state"].map({"complete": "done", "diverged": "diverged"})
    rows["pair"] = [
        list(zip(seeds, [None] * len(seeds) if values is None else values, strict=True))
        for seeds, values in zip(rows["seeds"], rows["seed_accuracies"], strict=True)
    ]
    rows = rows.explode("pair", ignore_index=True)
    rows["seed"] = [pair[0] for pair in rows["pair"]]
    rows["accuracy"] = [pair[1] for pair in rows["pair"]]
    return rows
