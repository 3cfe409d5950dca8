"""What a field of `RunSpec` may hold. Every refusal is one line: what was given, what is allowed, what to do."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from models import BODIES, CHECKPOINT_PREFIX, SIZES, TRAIN_SETS, TRAINABLE, WHOLE_OF, Group, Part, sizes
from study import inits
from study.errors import UserError, one_line, unknown_name
from tasks import TASKS

# Bodies that exist pretrained, at each of their sizes: from the hub, or made here. An LSTM does not: the paper compares
# random ones only.
PRETRAINED_BODIES = tuple(body for body in BODIES if not body.startswith("lstm"))
# Groups that a body has no parameter of.
ABSENT_GROUPS: dict[str, tuple[Group, ...]] = {
    "lstm": (Group.POSITIONS, Group.ATTENTION),
    "lstm-residual": (Group.ATTENTION,),
}

_MAX_SEED = 2**32 - 1
# Field: (smallest, largest or None, whether None is allowed).
WHOLE: dict[str, tuple[int, int | None, bool]] = {
    "num_layers": (1, None, True),
    "num_train_examples": (1, None, True),
    "batch_size": (1, None, False),
    "warmup_steps": (0, None, False),
    "num_steps": (1, None, False),
    "eval_every_steps": (1, None, False),
    "seed": (0, _MAX_SEED, False),
    "body_seed": (0, _MAX_SEED, False),
}
# Field: (interval in words, whether None is allowed).
_POSITIVE = "above 0"
REAL: dict[str, tuple[str, bool]] = {
    "lr": (_POSITIVE, False),
    "weight_decay": ("at least 0", False),
    "clip_norm": (_POSITIVE, True),
    "dropout": ("at least 0 and below 1", False),
    "orthogonal_gain": (_POSITIVE, False),
}
_INTERVALS = {
    _POSITIVE: lambda value: value > 0,
    "at least 0": lambda value: value >= 0,
    "at least 0 and below 1": lambda value: 0 <= value < 1,
}

_Enum = TypeVar("_Enum", bound=StrEnum)


def member(name: str, value: Any, kind: type[_Enum]) -> _Enum:
    """The enumeration's member with this value."""
    if isinstance(value, kind):
        return value
    if value not in list(kind):
        raise unknown_name(name, str(value), [str(choice) for choice in kind])
    return kind(value)


def whole(name: str, value: Any, smallest: int, largest: int | None, may_be_none: bool) -> int | None:
    """An integer within its bounds as a Python `int`; True and 3.0 are no integers."""
    if value is None and may_be_none:
        return None
    # Asking for the type first is twice as fast, which counts where a grid has ten thousand runs.
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise UserError(f"{name} must be a whole number{' or None' * may_be_none}, not {one_line(repr(value))}")
    number = int(value)
    if number < smallest or (largest is not None and number > largest):
        bounds = f"at least {smallest}" if largest is None else f"from {smallest} to {largest}"
        raise UserError(f"{name} must be {bounds}, not {number}")
    return number


def real(name: str, value: Any, interval: str, may_be_none: bool) -> float | None:
    """A finite number within its interval as a Python `float`, so that 1 and 1.0 are one run; -0.0 becomes 0.0."""
    if value is None and may_be_none:
        return None
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise UserError(f"{name} must be a number{' or None' * may_be_none}, not {one_line(repr(value))}")
    number = float(value) + 0.0
    if not math.isfinite(number) or not _INTERVALS[interval](number):
        raise UserError(f"{name} must be finite and {interval}, not {value}")
    return number


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """A mapping whose keys are names."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key.isidentifier() for key in value):
        raise UserError(f"{name} must map argument names to values, not {one_line(repr(value))}")
    return value


def scalar(name: str, value: Any) -> int | float | str | bool:
    """A value of a task argument: bool, whole number, finite number or string."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value) + 0.0
    raise UserError(f"{name} must be a finite number, a string or a boolean, not {one_line(repr(value))}")


def names(task: Any, body: Any, size: Any, init: Any, body_seed: int) -> tuple[str, str | None]:
    """Refuse unknown names and weights that do not exist; returns init and size in their one spelling."""
    for what, given, table in (("task", task, TASKS), ("body", body, BODIES)):
        if given not in list(table):
            raise unknown_name(what, str(given), table)
    if isinstance(init, str) and init.startswith(CHECKPOINT_PREFIX):
        _checkpoint(init, size, body_seed)
        return init, None
    normal = inits.parse(str(init))
    if size is None:
        raise UserError(f"size None needs init '{CHECKPOINT_PREFIX}...'; choose from {', '.join(SIZES[body])}")
    known = size_of(body, size)
    if normal.pretrained is not None and body not in PRETRAINED_BODIES:
        raise UserError(f"init '{init}' exists for body {', '.join(PRETRAINED_BODIES)}, not for {body}; try 'random'")
    return str(normal), known


def size_of(body: str, size: Any) -> str:
    """A body's size in its one spelling: a name, or layers and width as "2x64"."""
    try:
        known = sizes.canonical(body, str(size))
    except ValueError as error:
        raise UserError(one_line(error)) from None
    if known is None:
        raise unknown_name(f"size of {body}", str(size), [*SIZES[body], f"{sizes.FORM} such as 2x64"])
    return known


def _checkpoint(init: str, size: str | None, body_seed: int) -> None:
    if not init.removeprefix(CHECKPOINT_PREFIX).strip():
        raise UserError(f"init '{init}' names no checkpoint; write {CHECKPOINT_PREFIX}<folder or hub id>[@revision]")
    if size is not None:
        raise UserError(f"init '{one_line(init)}' brings its own size; give size=None instead of '{one_line(size)}'")
    if body_seed:
        raise UserError(f"a checkpoint is one body, so body_seed must be 0, not {body_seed}")


def train_set(value: Any, body: str) -> str | tuple[Group | Part, ...]:
    """The preset's name, or its groups in the order of `Group`, then parts, where no preset has exactly these."""
    if isinstance(value, str) and value in TRAIN_SETS:
        return _preset_of(groups_of(value, body), body)
    parts = value.split("+") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        raise UserError(f"train_set must be a preset's name or a tuple of groups, not {one_line(repr(value))}")
    allowed: dict[str, Group | Part] = {str(name): name for name in (*TRAINABLE, *Part)}
    chosen: set[Group | Part] = set()
    for part in parts:
        if part == Group.EMBEDDINGS:
            raise UserError(f"group '{Group.EMBEDDINGS}' is never trained; choose from {', '.join(allowed)}")
        if part not in allowed:
            raise unknown_name("train set or group", str(part), [*TRAIN_SETS, *allowed])
        if WHOLE_OF[allowed[part]] in ABSENT_GROUPS.get(body, ()):
            raise UserError(f"body {body} has no group '{part}' to train; leave it out of the train set")
        chosen.add(allowed[part])
    if not chosen:
        raise UserError(f"train_set is empty; choose a preset ({', '.join(TRAIN_SETS)}) or groups")
    return _preset_of(groups_of(tuple(chosen), body), body)


@cache
def _preset_of(groups: tuple[Group | Part, ...], body: str) -> str | tuple[Group | Part, ...]:
    return next((name for name in TRAIN_SETS if groups_of(name, body) == groups), groups)


@cache
def groups_of(value: str | tuple[Group | Part, ...], body: str) -> tuple[Group | Part, ...]:
    """The groups of a preset or tuple that the body has, in the order of `Group`; then parts of other groups."""
    chosen = TRAIN_SETS[value] if isinstance(value, str) else value
    absent = ABSENT_GROUPS.get(body, ())
    groups = tuple(group for group in Group if group in chosen and group not in absent)
    return (*groups, *(part for part in Part if part in chosen and WHOLE_OF[part] not in (*groups, *absent)))


def steps(num_steps: int, eval_every_steps: int, warmup_steps: int) -> None:
    """Refuse a run that ends before its first evaluation or before its warm-up."""
    if num_steps < eval_every_steps:
        raise UserError(f"num_steps ({num_steps}) must be at least eval_every_steps ({eval_every_steps})")
    if warmup_steps > num_steps:
        raise UserError(f"warmup_steps ({warmup_steps}) must be at most num_steps ({num_steps})")


def document(fields: Any, names: set[str]) -> None:
    """Refuse a JSON document that has not exactly the fields of a run and the two versions."""
    if not isinstance(fields, dict):
        raise UserError("not a run specification: a JSON object is needed")
    wanted = names | {"schema_version", "engine_version"}
    for key in sorted(set(fields) - wanted):
        raise unknown_name("field", key, sorted(wanted))
    missing = sorted(wanted - set(fields))
    if missing:
        raise UserError(f"not a run specification: {', '.join(missing)} missing")
