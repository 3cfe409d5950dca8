"""What a proposal of a search has reached, and how that lies in the journal of its study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from study.search_space import Value

READINGS, STATE, ERROR = "readings", "state", "error"
"""Attributes of a trial of Optuna."""
COMPLETE, PRUNED, DIVERGED, FAILED, RUNNING = "complete", "pruned", "diverged", "failed", "running"
"""How a proposal stands; the first four have ended."""


@dataclass(frozen=True)
class Proposal:
    """One point of the space, to be evaluated.

    Attributes:
        study: name of its study.
        number: within the study, from 0.
        values: every value of `study.tuned.VALUES`.
    """

    study: str
    number: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Reading:
    """What a proposal has reached when it comes to a rung, or diverges on the way to it.

    Attributes:
        step: of the rung.
        accuracies, losses: of each seed, on the validation split at its best step so far; None for one that
            diverged before any.
        score: by which proposals are ordered, higher is better; NaN for one that diverged.
        num_steps: updates that were made for it, over all seeds.
    """

    step: int
    accuracies: tuple[float | None, ...]
    losses: tuple[float | None, ...]
    score: float
    num_steps: int


def state_of(trial: FrozenTrial) -> str:
    """How a proposal stands: one of COMPLETE, PRUNED, DIVERGED, FAILED, RUNNING."""
    return trial.user_attrs[STATE] if trial.state.is_finished() else RUNNING


def error_of(trial: FrozenTrial) -> str | None:
    """Why a failed proposal could not be trained."""
    return trial.user_attrs.get(ERROR)


def readings(trial: FrozenTrial) -> list[Reading]:
    """What a proposal has reached so far, by rung; one that diverged had no score any more at its last."""
    return [_from_plain(each) for each in trial.user_attrs.get(READINGS, [])]


def as_plain(reading: Reading) -> dict[str, Any]:
    """A reading as plain JSON values."""
    score = None if math.isnan(reading.score) else reading.score
    return {**vars(reading), "accuracies": list(reading.accuracies), "losses": list(reading.losses), "score": score}


def _from_plain(plain: Mapping[str, Any]) -> Reading:
    score = math.nan if plain["score"] is None else plain["score"]
    sequences = {"accuracies": tuple(plain["accuracies"]), "losses": tuple(plain["losses"])}
    return Reading(**{**plain, **sequences, "score": score})
