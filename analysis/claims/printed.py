"""What the papers' own tables print for the effect of a claim, to stand beside what was measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from analysis.published import of_table
from study.grids.paper_settings import COLUMNS

Printed = Callable[[str, str], float | None]
"""(task, line) -> the printed effect in the unit of the claim (points, ratio); None where none is printed."""


def nothing(task: str, line: str) -> float | None:
    """No number is printed."""
    del task, line


def minus(table: str, a: str, b: str) -> Printed:
    """Row a minus row b of a table whose columns are tasks."""
    return lambda task, _: _minus(table, (a, COLUMNS.get(task, "")), (b, COLUMNS.get(task, "")))


def across(table: str, a: str, b: str) -> Printed:
    """Column a minus column b of a table whose rows are tasks."""
    return lambda task, _: _minus(table, (COLUMNS.get(task, ""), a), (COLUMNS.get(task, ""), b))


def cell(table: str, row: str) -> Printed:
    """A row of a table whose columns are tasks, such as a ratio."""
    return lambda task, _: _value(table, (row, COLUMNS.get(task, "")))


def one_task(task: str, of: Callable[[str], float | None]) -> Printed:
    """A table that is about one task: (line) -> number."""
    return lambda given, line: of(line) if given == task else None


def gap(line: str) -> float | None:
    """Train minus test accuracy of FPT in table 7."""
    del line
    return _minus("T7", ("FPT (GPT-2)", "train"), ("FPT (GPT-2)", "test"))


def other_body(task: str, line: str) -> float | None:
    """Another body minus GPT-2 in table 17; the line is the body."""
    row = {"bert": "BERT", "t5": "T5 (encoder)", "longformer": "Longformer"}.get(line, "")
    return minus("T17", row, "GPT-2")(task, line)


def by_init(task: str, line: str) -> float | None:
    """Unfrozen minus frozen in the critique's table 1; the line is the init."""
    name = {"language": "Pretrained", "random": "Random"}.get(line, "")
    return minus("C1", f"Unfrozen {name}", f"Frozen {name}")(task, line)


def by_depth(line: str) -> float | None:
    """Pretrained minus random in table 11; the line is "2 layers"."""
    row = line.partition(" ")[0]
    return _minus("T11", (row, "pretrained"), (row, "random"))


def _minus(table: str, a: tuple[str, str], b: tuple[str, str]) -> float | None:
    first, second = _value(table, a), _value(table, b)
    return None if first is None or second is None else first - second


def _value(table: str, key: tuple[str, str]) -> float | None:
    found = of_table(table).get(key)
    return None if found is None else float(found["value"])


def epoch(task: str, line: str) -> float | None:
    """The low end of the speed-up that table 10 states."""
    del line
    return _value("T10", (COLUMNS.get(task, ""), "speedup"))


def better_group(task: str, line: str) -> float | None:
    """Layer norms minus the better of input and positions in table 18."""
    others = [across("T18", "+ layernorm", other)(task, line) for other in ("+ input", "+ positions")]
    return None if None in others else min(value for value in others if value is not None)


def deepest(line: str) -> float | None:
    """Six layers minus one, pretrained, in table 11."""
    del line
    return _minus("T11", ("6", "pretrained"), ("1", "pretrained"))


def per_doubling(line: str) -> float | None:
    """Slope of FPT's accuracy over the doublings of parameters in table 8, by least squares."""
    del line
    found = [(_value("T8", (size, "total")), _value("T8", (size, "FPT"))) for size in ("Small", "Medium", "Large")]
    known = [(math.log2(total), accuracy) for total, accuracy in found if total is not None and accuracy is not None]
    if len(known) < 2:
        return None
    return statistics.linear_regression(*zip(*known, strict=True)).slope
