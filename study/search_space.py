"""What a search may set, within which bounds and why; and what a user may say instead with `--set`.

A dimension has the name of the value it sets (`study.tuned.VALUES`); a switch, one more dimension, says whether a value
is set at all. The reasons stand beside the bounds, in `default_space`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models import Group
from study.spec import RunSpec, Schedule
from study.tuned import VALUES, WARMUP_SHARE

Value = float | int | str | None
SHAPES = ("batch_size", "dropout")
"""Dimensions that the proposals of one pack share: runs that differ in them are not trained together."""
ON, OFF = "on", "off"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; evenly by logarithm where `is_log`."""

    low: float
    high: float
    is_log: bool = False

    def __str__(self) -> str:
        return f"{'log:' * self.is_log}{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return "|".join("none" if value is None else f"{value}" for value in self.values)


@dataclass(frozen=True)
class Dimension:
    """One axis of a space.

    Attributes:
        name: of the value, or of a switch.
        domain: what it may be.
        reason: for these bounds.
        switch: it exists only where the dimension of this name is `ON`; "" for always.
    """

    name: str
    domain: Range | Choice
    reason: str
    switch: str = ""


@dataclass(frozen=True)
class Space:
    """The dimensions of one search, switches before what they switch, and the values of what is not searched."""

    dimensions: tuple[Dimension, ...]
    fixed: Mapping[str, Value]

    def is_open(self, dimension: Dimension, chosen: Mapping[str, Value]) -> bool:
        """Whether a dimension exists, given those before it."""
        return not dimension.switch or chosen[dimension.switch] == ON

    def values(self, chosen: Mapping[str, Value]) -> dict[str, Value]:
        """Every value of `VALUES`: as chosen, as switched off, or as fixed."""
        off = {each.name: _SWITCHED_OFF[each.name] for each in self.dimensions if each.switch}
        found = {**self.fixed, **off, **{name: value for name, value in chosen.items() if name in VALUES}}
        return {name: found[name] for name in VALUES}

    def described(self) -> dict[str, str]:
        """Each dimension as `--set` would take it, then what is fixed."""
        conditions = {each.name: f" if {each.switch}" if each.switch else "" for each in self.dimensions}
        searched = {each.name: f"{each.domain}{conditions[each.name]}" for each in self.dimensions}
        return {**searched, **{name: f"fixed at {value}" for name, value in self.fixed.items()}}

    def own(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The dimensions that stand for given values, as far as their domains hold them."""
        chosen: dict[str, Value] = {}
        for each in self.dimensions:
            if each.name in _SWITCHES:
                is_on = values[_SWITCHES[each.name]] != _SWITCHED_OFF[_SWITCHES[each.name]]
                chosen[each.name] = ON if is_on else OFF
            elif self.is_open(each, chosen) and _holds(each.domain, values[each.name]):
                chosen[each.name] = values[each.name]
        return chosen


_SWITCHES = {"decays": "weight_decay", "clips": "clip_norm"}
_SWITCHED_OFF: dict[str, Value] = {"weight_decay": 0.0, "clip_norm": None}
_FROZEN_LR = Range(1e-4, 1e-1, is_log=True)
_WHOLE_LR = Range(1e-5, 1e-2, is_log=True)


def own_values(run: RunSpec) -> dict[str, Value]:
    """What the run has where a search would set it."""
    columns = run.as_columns() | {WARMUP_SHARE: run.warmup_steps / run.num_steps}
    return {name: columns[name] for name in VALUES}


def default_space(run: RunSpec, num_train_examples: int | None) -> Space:
    """The space of a variant, around one of its runs.

    Args:
        run: of the grid, for the bounds that depend on what is trained and for the batch that was asked for.
        num_train_examples: of the training data; None where they are endless.
    """
    is_whole = not {Group.ATTENTION, Group.FEEDFORWARD}.isdisjoint(run.groups)
    lr = _WHOLE_LR if is_whole else _FROZEN_LR
    batches = sorted({max(1, run.batch_size // 2), run.batch_size, 2 * run.batch_size})
    batches = [size for size in batches if num_train_examples is None or size <= num_train_examples]
    dropouts = tuple(sorted({0.0, 0.1, run.dropout}))
    own = own_values(run)
    dimensions = (
        Dimension(
            "lr",
            lr,
            "three decades: the critique sweeps 1e-6 to 1e-2 on base bodies; narrower bodies and small trained parts "
            "bear more, and where whole layers are trained the best rates lie a decade lower",
        ),
        Dimension("batch_size", Choice(tuple(batches)), "half, once and twice the grid's: steps stay, so cost follows"),
        Dimension("dropout", Choice(dropouts), "none, or the paper's 0.1"),
        Dimension("decays", Choice((OFF, ON)), "the paper decays nothing"),
        Dimension("weight_decay", Range(1e-4, 1e-1, is_log=True), "AdamW's usual 1e-2 in the middle", switch="decays"),
        Dimension(WARMUP_SHARE, Range(0.0, 0.1), "the paper has none; it ends before the first proposals are stopped"),
        Dimension("schedule", Choice(tuple(str(each) for each in Schedule)), "the paper's is constant"),
        Dimension("clips", Choice((OFF, ON)), "the released code clips at 1"),
        Dimension("clip_norm", Range(0.1, 10.0, is_log=True), "a decade on either side of 1", switch="clips"),
        Dimension("orthogonal_gain", Range(0.5, 4.0, is_log=True), "around the paper's 1.41, the square root of 2"),
    )
    dimensions = tuple(replace(each, domain=_with_own(each.domain, own.get(each.name))) for each in dimensions)
    kept = tuple(each for each in dimensions if not isinstance(each.domain, Choice) or len(each.domain.values) > 1)
    names = {each.name for each in kept}
    return Space(kept, {name: value for name, value in own.items() if name not in names})


def _with_own(domain: Range | Choice, value: Value) -> Range | Choice:
    """A range wide enough for the grid's own value, if it has one: that is always proposed."""
    if isinstance(domain, Choice) or not isinstance(value, int | float) or (domain.is_log and value <= 0):
        return domain
    return replace(domain, low=min(domain.low, value), high=max(domain.high, value))


def without(space: Space, names: set[str], run: RunSpec) -> Space:
    """The space with these values fixed at the run's own."""
    dropped = names | {switch for switch, name in _SWITCHES.items() if name in names}
    fixed = {name: value for name, value in own_values(run).items() if name in names}
    return replace(
        space,
        dimensions=tuple(each for each in space.dimensions if each.name not in dropped),
        fixed={**space.fixed, **fixed},
    )


def with_domain(space: Space, name: str, domain: Range | Choice) -> Space:
    """The space with another domain for a value, which then is always set."""
    dropped = {name, *(switch for switch, switched in _SWITCHES.items() if switched == name)}
    rest = tuple(each for each in space.dimensions if each.name not in dropped)
    fixed = {other: value for other, value in space.fixed.items() if other != name}
    return Space((Dimension(name, domain, "asked for with --set"), *rest), fixed)


def points(domain: Range | Choice, count: int) -> list[Value]:
    """That many values of a range, evenly spaced from end to end (one: in the middle); every value of a choice."""
    if isinstance(domain, Choice):
        return list(domain.values)
    low, high = (math.log(domain.low), math.log(domain.high)) if domain.is_log else (domain.low, domain.high)
    shares = [0.5] if count == 1 else [number / (count - 1) for number in range(count)]
    spaced = [low + share * (high - low) for share in shares]
    if domain.is_log:
        spaced = [math.exp(value) for value in spaced]
    # Rounding must not leave the bounds.
    return [min(domain.high, max(domain.low, value)) for value in spaced]


def _holds(domain: Range | Choice, value: Any) -> bool:
    if isinstance(domain, Choice):
        return value in domain.values
    return isinstance(value, int | float) and domain.low <= value <= domain.high
