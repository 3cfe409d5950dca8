"""What else differs between runs of one (task, train set, init) cell: settings, their names, and which are drawn."""

from __future__ import annotations

import dataclasses

import pandas as pd

from study.spec import RunSpec
from study.tuned import TUNABLE

CELL: tuple[str, str, str] = ("task", "train_set", "init")
"""The three axes that the general figures compare; runs of a cell differ in their seeds."""
USUAL = "usual"
"""The setting of runs that differ in nothing from what is usual, in a ledger that has others too."""
TUNED, AS_SPECIFIED = "tuned", "as specified"
"""Where the optimisation settings of a run come from: a search, or its grid."""
_REPLICATION = ("seed", "body_seed")
_ALWAYS_NAMED = ("protocol", "body", "size")
# Where several columns differ inside a cell, the earlier ones name the setting.
_ORDER = (*_ALWAYS_NAMED, "num_layers", "task_args", "features", "num_train_examples", "precision")


def settings(runs: pd.DataFrame) -> pd.Series:
    """For each run the values of the fewest spec columns that leave nothing but seeds to differ inside a cell.

    A column that already follows from the cell (a learning rate per train set) names no setting, so cells stay
    comparable; one that varies inside a cell (two bodies, a sweep) does, so different things are never averaged.
    Protocol, body and size are named wherever they vary; of any other column the value that most runs of the same
    task, train set, protocol, body and size have goes without saying, so that a sweep at the edge of a study leaves
    the names of all its other runs alone. What a search set differs from cell to cell, and is one setting: "tuned".

    Args:
        runs: at least the columns of a run's specification, and `tuning` where any of them is tuned.
    """
    is_tuned = runs["tuning"] == TUNED if "tuning" in runs else pd.Series(False, index=runs.index)
    if not is_tuned.any():
        return _named(runs)
    searched = _named(runs[is_tuned].assign(**dict.fromkeys(TUNABLE, "searched")))
    searched = searched.where(searched.isin(["", USUAL]), TUNED + ", " + searched).replace(["", USUAL], TUNED)
    specified = _named(runs[~is_tuned]).replace("", AS_SPECIFIED)
    return pd.concat([specified, searched]).reindex(runs.index)


def _named(runs: pd.DataFrame) -> pd.Series:
    columns = _varying(runs)
    context = ["task", "train_set", *(name for name in columns if name in _ALWAYS_NAMED)]
    texts = pd.Series("", index=runs.index)
    for name in columns:
        own = name + " " + runs[name].map(shown)
        if name not in _ALWAYS_NAMED:
            own = own.mask(_is_usual(runs, name, context), "")
        texts += own.where((texts == "") | (own == ""), ", " + own)
    return texts.mask(texts == "", USUAL) if columns else texts


def _varying(runs: pd.DataFrame) -> list[str]:
    """Columns that vary inside a cell, the cell being refined by those before."""
    fields = [field.name for field in dataclasses.fields(RunSpec)]
    candidates = [
        name for name in fields if name not in (*CELL, *_REPLICATION) and runs[name].nunique(dropna=False) > 1
    ]
    candidates.sort(key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    key: list[str] = list(CELL)
    for name in candidates:
        if (runs.groupby(key, dropna=False)[name].nunique(dropna=False) > 1).any():
            key.append(name)
    return key[len(CELL) :]


def _is_usual(runs: pd.DataFrame, name: str, context: list[str]) -> pd.Series:
    """Whether a run has the one value of a column that more runs of its context have than any other."""
    values = runs[[*context, name]].astype(object)
    num = values.groupby([*context, name], dropna=False)[name].transform("size")
    most = num.groupby([runs[column] for column in context], dropna=False).transform("max")
    is_most = num == most
    kinds = values[name].map(shown).where(is_most)
    return is_most & (kinds.groupby([runs[column] for column in context], dropna=False).transform("nunique") == 1)


def ranked(runs: pd.DataFrame) -> list[str]:
    """The settings with runs, the most worth drawing first.

    Those come first in which two inits or two train sets of a task can be compared, then those with more runs; a tie
    is broken by name.

    Args:
        runs: the columns setting, task, train_set and init.
    """
    cells = runs.groupby(["setting", "task"])[["train_set", "init"]].nunique().max(axis=1).groupby("setting").max()
    num = runs.groupby("setting").size()
    order = pd.DataFrame({"is_lone": cells < 2, "rank": -num, "name": num.index}, index=num.index)
    return order.sort_values(["is_lone", "rank", "name"]).index.tolist()


def shown(value: object) -> str:
    """A value of a column as text; a null reads "none"."""
    if value is None or value != value:  # a null, or the NaN that pandas makes of one
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
