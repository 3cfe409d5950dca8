"""Part of a grid: `--where 'task=bit-xor|digits,seed=0'` and `--seeds N`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from study.errors import UserError, one_line, unknown_name
from study.spec import RunSpec

_ARGS = "task_args."
_FIELDS = [field.name for field in dataclasses.fields(RunSpec) if field.name != "task_args"]


def select(runs: Sequence[RunSpec], *, where: str | None = None, seeds: int | None = None) -> list[RunSpec]:
    """The runs that meet every condition, in the order of the grid.

    Args:
        runs: the grid.
        where: "field=value" pairs joined by ","; several values of a field joined by "|"; `task_args.NAME` for an
            argument of a task; "none" for a value that is not set.
        seeds: keep the seeds below this number.

    Raises:
        UserError: unknown field, a value that no run of the grid has, or nothing left.
    """
    chosen = list(runs)
    for name, texts in _conditions(where, runs).items():
        for text in texts:
            _require_occurs(runs, name, text)
        chosen = [run for run in chosen if any(_matches(text, _value(run, name)) for text in texts)]
    if seeds is not None:
        if seeds < 1:
            raise UserError(f"--seeds must be at least 1, not {seeds}")
        chosen = [run for run in chosen if run.seed < seeds]
    if not chosen:
        raise UserError("no run of the grid meets all conditions; each of them alone is met by some")
    return chosen


def _conditions(where: str | None, runs: Sequence[RunSpec]) -> dict[str, list[str]]:
    args = sorted({f"{_ARGS}{name}" for run in runs for name in run.task_args})
    conditions: dict[str, list[str]] = {}
    for part in [] if where is None else where.split(","):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not text:
            raise UserError(f"--where takes field=value,field=value, not '{one_line(where)}'")
        if name not in (*_FIELDS, *args):
            raise unknown_name("field in --where", name, [*_FIELDS, *args])
        if name in conditions:
            raise UserError(f"--where names '{name}' twice; join its values by |")
        conditions[name] = [value.strip() for value in text.split("|")]
    return conditions


def _value(run: RunSpec, name: str) -> Any:
    if name.startswith(_ARGS):
        return run.task_args.get(name.removeprefix(_ARGS))
    return run.train_set_name if name == "train_set" else getattr(run, name)


def _matches(text: str, value: Any) -> bool:
    """Whether the text means this value, by the value's own type."""
    if value is None or isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int | float):
        return _number(text) == value
    return text == str(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _require_occurs(runs: Sequence[RunSpec], name: str, text: str) -> None:
    values = [_value(run, name) for run in runs]
    if not any(_matches(text, value) for value in values):
        shown = {value: "none" if value is None else str(value) for value in values}
        raise unknown_name(f"value of {name} in this grid", text, shown.values())
