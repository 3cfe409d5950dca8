"""`study fit`: one's own ladder from a ledger, with its law or the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import estimates
from analysis.axes import with_shapes
from analysis.estimates import Estimate, estimate
from analysis.extrapolation import Extrapolation, leave_largest_out
from analysis.extrapolation import table as extrapolated
from analysis.forms import form_named
from analysis.ladder_frames import ladders
from analysis.load import load
from analysis.refusals import Refusal
from analysis.settings import shown
from study.errors import UserError, one_line, unknown_name

SHORT = {
    "params": "num_params_total",
    "trained": "num_params_trained",
    "examples": "num_train_examples",
    "steps": "num_steps",
    "flops": "train_flops",
    "seconds": "wall_seconds",
}
"""Short names of columns; depth and width are columns here, too."""


@dataclass(frozen=True)
class Request:
    """What is to be fitted.

    Attributes:
        x: one column or short name, or two apart by a comma.
        y: a column where lower is better, or `<split>_error`.
        by: columns that tell variants apart, by commas; None for none.
        form: name of a form.
        where: conditions on columns, as "task=bit-memory,train_set=full|fpt".
        rung: columns that tell rungs apart where x differs between seeds; None for x itself.
        between: floor and ceiling between which an error is rescaled, by a comma: numbers or columns of accuracies.
        num_samples: of the bootstrap.
    """

    x: str
    y: str
    by: str | None = None
    form: str = "power-floor"
    where: str | None = None
    rung: str | None = None
    between: str | None = None
    num_samples: int = 1000


@dataclass(frozen=True)
class Answer:
    """The laws and refusals of a request.

    Attributes:
        parameters: rows of `estimates.table`, and one for each refusal.
        rungs: rows of `Ladder.table`.
        largest: how the largest rung was predicted from the others, where there is a law.
        refusals: sentences.
    """

    parameters: pd.DataFrame
    rungs: pd.DataFrame
    largest: pd.DataFrame
    refusals: tuple[str, ...]

    @property
    def document(self) -> dict[str, Any]:
        """For `--json`: plain values, null where unknown."""
        tables = {"fits": self.parameters, "rungs": self.rungs, "largest_left_out": self.largest}
        return {name: _plain(table) for name, table in tables.items()} | {"refusals": list(self.refusals)}


def answer(out: str, request: Request) -> Answer:
    """Fit every ladder of the request.

    Raises:
        UserError: no ledger, an unknown column or form, conditions that no run meets, or runs that are no ladder.
    """
    if request.num_samples < 100:
        raise UserError(f"--samples must be at least 100, not {request.num_samples}; an interval is made of them")
    form = form_named(request.form)
    runs = chosen(with_shapes(load(out).runs), request.where)
    found = ladders(
        runs,
        x=_columns(runs, request.x),
        y=request.y,
        by=_columns(runs, request.by),
        rung=_columns(runs, request.rung) or None,
        between=_between(request.between),
    )
    laws = {name: estimate(ladder, form, num_samples=request.num_samples) for name, ladder in found.items()}
    left_out = [
        one
        for name, law in laws.items()
        if isinstance(law, Estimate)
        and isinstance(one := leave_largest_out(found[name], form, num_samples=request.num_samples), Extrapolation)
    ]
    return Answer(
        pd.concat([estimates.table(law) for law in laws.values()], ignore_index=True),
        pd.concat([ladder.table for ladder in found.values()], ignore_index=True),
        pd.concat([extrapolated(one) for one in left_out], ignore_index=True) if left_out else pd.DataFrame(),
        tuple(law.sentence for law in laws.values() if isinstance(law, Refusal)),
    )


def chosen(runs: pd.DataFrame, where: str | None) -> pd.DataFrame:
    """The rows that meet every condition: `column=value|value`, by commas; "none" means null.

    Raises:
        UserError: not of this form, an unknown column, a value that no run has, or nothing left.
    """
    kept = runs
    for part in [] if where is None else where.split(","):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not (name and equals and text):
            raise UserError(f"--where takes column=value,column=value, not '{one_line(str(where))}'")
        (name,) = _columns(runs, name)
        values, texts = [value.strip() for value in text.split("|")], runs[name].map(_text)
        for value in values:
            if _number(value) not in set(texts):
                raise unknown_name(f"value of {name} in this ledger", value, sorted(set(map(str, texts)))[:20])
        kept = kept[texts[kept.index].isin([_number(value) for value in values])]
    if kept.empty:
        raise UserError("no run meets all conditions of --where; each of them alone is met by some")
    return kept


def _text(value: object) -> str:
    return _number(repr(value)) if isinstance(value, float) and value == value else _number(shown(value))


def _number(text: str) -> str:
    """One spelling for one number."""
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text


def _columns(runs: pd.DataFrame, names: str | None) -> list[str]:
    found = [SHORT.get(name.strip(), name.strip()) for name in names.split(",")] if names else []
    for name in found:
        if name not in runs:
            raise unknown_name("column", name, [*SHORT, *map(str, runs.columns)])
    return found


def _between(text: str | None) -> tuple[float | str, float | str] | None:
    if text is None:
        return None
    ends: list[float | str] = []
    for part in text.split(","):
        try:
            ends.append(float(part))
        except ValueError:
            ends.append(part.strip())
    if len(ends) != 2:
        raise UserError(f"--between takes a floor and a ceiling, as floor_accuracy,1, not '{one_line(text)}'")
    return ends[0], ends[1]


def _plain(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    rows = table.replace([np.inf, -np.inf], np.nan).astype(object)
    return rows.where(rows.notna(), None).to_dict("records")


def lines(found: Answer) -> Sequence[tuple[str, list[str], list[list[object]]]]:
    """The answer as tables for a terminal: title, columns, rows."""
    laws = found.parameters[found.parameters["parameter"].notna()] if "parameter" in found.parameters else None
    tables = []
    if laws is not None and len(laws):
        rows = [
            [row.ladder, row.formula, row.parameter, _digits(row.estimate), _digits(row.low), _digits(row.high),
             int(row.min_seeds), row.cautions or None]
            for row in laws.itertuples()
        ]  # fmt: skip
        heads = ["ladder", "law", "parameter", "estimate", "low", "high", "seeds", "cautions"]
        tables.append(("laws, with 95 % intervals", heads, rows))
    if len(found.largest):
        rows = [
            [row.ladder, *(_digits(value) for value in (row.predicted, row.low, row.high, row.observed))]
            for row in found.largest.itertuples()
        ]
        tables.append(("the largest rung predicted from the others", ["ladder", "predicted", "low", "high", "observed"],
                       rows))  # fmt: skip
    x = [name for name in found.rungs.columns if name not in _OF_RUNGS]
    rows = [
        [row["ladder"], *(_digits(row[name]) for name in x), *(_digits(row[name]) for name in ("mean", "sd")),
         *(int(row[name]) for name in _COUNTS)]
        for row in found.rungs.to_dict("records")
    ]  # fmt: skip
    tables.append(("rungs", ["ladder", *x, "mean", "sd", "seeds", "diverged", "failed"], rows))
    return tables


_COUNTS = ("num_seeds", "num_diverged", "num_failed")
_OF_RUNGS = ("ladder", "y", "mean", "sd", "low", "high", "num_runs", "num_body_seeds", "num_units", "chance", *_COUNTS)


def _digits(value: object) -> str | None:
    return None if value is None or pd.isna(value) else f"{value:.4g}"
