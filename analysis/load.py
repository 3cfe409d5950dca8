"""Ledger -> tidy frames: one row per run, one row per evaluation, and what should be there but is not.

Imports neither ray nor torch, so results can be read where neither is installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis import asked, settings
from analysis.style import kind_of
from models import INITS, TRAIN_SETS
from study import ledger, ledger_schema
from study.errors import UserError
from tasks import TASKS

CELL = settings.CELL


@dataclass(frozen=True)
class Frames:
    """A ledger as pandas frames.

    Attributes:
        source: where it was read from.
        runs: one row per finished run, the ledger's columns (docs/columns.md), `tuning` ("tuned" where a search found
            the settings, else "as specified"), and `setting`, which names what else differs between runs of one
            (task, train set, init) cell; "" where nothing does.
        curves: one row per evaluation of those runs.
        missing: one row per run that a launch asked for and that has no row: run_id, the columns of its
            specification, `tuning` and `setting`.
        problems: one line for each part of the ledger that could not be read and is left out.
        attention: one row per token that is read and state, of those runs whose task has a probe; lists are arrays.
        grids: ids of the runs that were asked for, by the grid's name.
        again: rows of runs, under "tuned", that were asked for as specified and tuned, where a search found the grid's
            own settings best; missing_again: the same of missing. See `compared`.
    """

    source: str
    runs: pd.DataFrame
    curves: pd.DataFrame
    missing: pd.DataFrame
    problems: tuple[str, ...] = ()
    attention: pd.DataFrame = field(default_factory=lambda: ledger_schema.ATTENTION.empty_table().to_pandas())
    grids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    again: pd.DataFrame | None = None
    missing_again: pd.DataFrame | None = None

    @cached_property
    def compared(self) -> Frames:
        """What is compared by tuning or setting: a run that is both as specified and tuned stands under both.

        Counts and costs are those of the ledger itself, where every run stands once.
        """
        runs, missing = (
            own if more is None or more.empty else pd.concat([own, more], ignore_index=True)
            for own, more in ((self.runs, self.again), (self.missing, self.missing_again))
        )
        return replace(self, runs=runs, missing=missing, again=None, missing_again=None)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of runs by status, in this order: done, diverged, failed, missing."""
        by_status = self.runs["status"].value_counts()
        found = {status: int(by_status.get(status, 0)) for status in ("done", "diverged", "failed")}
        return {**found, "missing": len(self.missing)}

    @property
    def settings(self) -> list[str]:
        """The distinct settings, alphabetically."""
        return sorted(self.runs["setting"].unique())


def load(uri: str) -> Frames:
    """Read the ledger at a folder or URI.

    Raises:
        UserError: no ledger there, one of a newer version, or no readable row in it (one line each).
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ledger.LedgerWarning)
        runs, curves, attention = (read(uri) for read in (ledger.read_runs, ledger.read_curves, ledger.read_attention))
    # Other warnings are nobody's business here: they are raised again, not swallowed.
    for warning in caught:
        if not issubclass(warning.category, ledger.LedgerWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    problems = tuple(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, ledger.LedgerWarning)))
    if runs.num_rows == 0:
        why = f" ({problems[0]})" if problems else ""
        raise UserError(f"{uri}: the ledger has no readable run{why}; run a grid with --out {uri} first")
    frame = _of_objects(runs.to_pandas())
    launches = asked.read(ledger.open_existing(uri).storage, set(frame["run_id"]))
    runs, again = _tunings(frame, launches)
    missing, missing_again = _tunings(launches.missing, launches)
    parts = [runs, missing, again, missing_again]
    names = settings.settings(pd.concat([part[missing.columns] for part in parts], ignore_index=True)).to_numpy()
    ends = np.cumsum([len(part) for part in parts])
    for part, own in zip(parts, np.split(names, ends[:-1]), strict=True):
        part["setting"] = own
    problems = (*problems, *launches.problems)
    return Frames(
        uri, runs, curves.to_pandas(), missing, problems, attention.to_pandas(), launches.grids, again, missing_again
    )


def _of_objects(frame: pd.DataFrame) -> pd.DataFrame:
    """Strings as Python objects in one block: choosing rows is then one operation for all of them, not one for each."""
    texts = [name for name in frame.columns if isinstance(frame[name].dtype, pd.StringDtype)]
    return frame.astype(dict.fromkeys(texts, object)).copy()


def _tunings(runs: pd.DataFrame, launches: asked.Asked) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs with `tuning`, and again those that are tuned as well as specified."""
    is_tuned, is_both = (runs["run_id"].isin(ids) for ids in (launches.tuned, launches.both))
    told = is_tuned.map({True: settings.TUNED, False: settings.AS_SPECIFIED})
    return runs.assign(tuning=told), runs[is_both].assign(tuning=settings.TUNED)


def order(column: str, names: Iterable[str]) -> list[str]:
    """Distinct values of a cell column: the project's own names in the order of their tables, then the others.

    An init with an argument ("dyck:8") stands behind the one without.
    """
    tables = {"task": TASKS, "init": INITS, "train_set": TRAIN_SETS}
    rank = {name: i for i, name in enumerate(tables[column])}
    kinds = {name: kind_of(name) if column == "init" else name for name in names}
    return sorted(kinds, key=lambda name: (rank.get(kinds[name], len(rank)), name))
