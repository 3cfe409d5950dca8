"""What a claim is: a sentence of a paper, and the rule by which rows of the ledger support or contradict it.

Everything here is fixed before any run: which rows are compared, what is measured of them, the bounds between which the
effect must lie, how tasks combine, and with which other claims the error rate is shared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from analysis.claims.printed import Printed, nothing

if TYPE_CHECKING:
    from analysis.claims.context import Context
    from analysis.claims.effect import Effect
    from analysis.claims.pairing import Side


PAPER_TASKS = ("bit-memory", "bit-xor", "listops", "mnist", "cifar10", "cifar10-lra", "homology")
"""The columns of the paper's tables (section 2.1)."""


class Verdict(StrEnum):
    """What the rows say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"


class Combine(StrEnum):
    """On how many of the tasks the effect must lie between its bounds."""

    EVERY = "every task"
    MOST = "more than half of the tasks"
    SOME = "at least one task"

    def required(self, num_tasks: int) -> int:
        """The number of tasks, of `num_tasks` on which the sides can be told apart."""
        return {Combine.EVERY: num_tasks, Combine.MOST: num_tasks // 2 + 1, Combine.SOME: 1}[self]


class Family(StrEnum):
    """Claims that share an error rate: in one context, no wrong verdict among them with at least 95 %."""

    TRANSFER = "what pretraining on language transfers"
    MECHANISM = "why it does"
    CRITIQUE = "the critique"


class Unit(StrEnum):
    """What an effect is measured in."""

    POINTS = "percentage points"
    PER_DOUBLING = "percentage points per doubling of parameters"
    RATIO = "times"
    MASS = "percentage points of attention"

    def shown(self, value: float | None) -> float | None:
        """A value in the scale of bounds as a number in this unit."""
        if value is None:
            return None
        return math.exp(value) if self is Unit.RATIO else 100 * value


class Diverged(StrEnum):
    """With which accuracy a diverged run counts; it is counted beside the verdict in any case."""

    BEFORE = "a diverged run counts with its accuracy before it diverged, as in table 13; with the floor if it had none"
    FLOOR = "a diverged run counts with the floor's accuracy"


@dataclass(frozen=True)
class Bounds:
    """The claim is that the effect lies above `low` and below `high`; None leaves a side open.

    In the effect's own scale: fractions of 1 for accuracies, natural logarithms for ratios.
    """

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        assert self.low is not None or self.high is not None

    @property
    def is_equivalence(self) -> bool:
        """Whether both sides are bounded, as when two things are claimed to be alike."""
        return self.low is not None and self.high is not None


BETTER = Bounds(low=0.0025)
BETTER_WHY = (
    "0.25 points: the smallest advantage that either paper prints and counts is 0.3 (critique's table 1, MNIST)"
)
MATCH_MARGIN = 0.04
ALIKE = Bounds(low=-MATCH_MARGIN, high=MATCH_MARGIN)
NOT_WORSE = Bounds(low=-MATCH_MARGIN)
MATCH_WHY = (
    "4 points: table 1 passes 38.6 against 42.0 (C10 LRA) and 12.7 against 9.0 (homology) as alike; the larger "
    "difference, rounded up. What margin the numbers themselves would bear stands beside each effect"
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence and its rule.

    Attributes:
        id: short name, unique.
        sentence: what is claimed.
        source: section or table of the paper or of its critique.
        family: with which claims it shares the error rate.
        sides: the runs that it needs.
        rows: which of them are compared, in words.
        effect: what is measured of them, in words.
        measure: the effects in one context, at most one per task (or per line that `effect` names).
        bounds: between which the effect must lie.
        why: where the bounds come from.
        unit: of the effect.
        combine: on how many tasks.
        tasks: that the source speaks of; others that were run count as well, and coverage is told.
        diverged: how runs count that diverged.
        printed: (task, line) -> the effect that the source prints, in the claim's unit; None where it prints none.
    """

    id: str
    sentence: str
    source: str
    family: Family
    sides: tuple[Side, ...]
    rows: str
    effect: str
    measure: Callable[[Context], list[Effect]]
    bounds: Bounds
    why: str
    unit: Unit = Unit.POINTS
    combine: Combine
    tasks: tuple[str, ...] = PAPER_TASKS
    diverged: Diverged = Diverged.BEFORE
    printed: Printed = nothing
