"""Which proposals go on: asynchronous successive halving (Li et al. 2020, arXiv 1810.05934, the variant that stops).

A proposal that reaches a rung is compared with all that were there before it, and goes on if it is among the best
1/eta of them. Nobody waits for a rung to fill up. Those of one pack arrive together: all are entered before any is
judged, so that the order within a pack does not matter. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

ETA = 3
"""One in so many goes on. Li et al. use 4 and find 3 to 5 alike; three rungs at 1/9, 1/3 and 1 of the steps."""
_NUM_RUNGS = 2
"""Rungs below the last one: at less than a ninth of its steps a short training has hardly left its warm-up."""


def rung_steps(num_steps: int, eval_every_steps: int, eta: int = ETA, num_rungs: int = _NUM_RUNGS) -> tuple[int, ...]:
    """Steps at which proposals are compared, the last one, at which they have ended, included.

    Each is a multiple of `eval_every_steps`, where a run is evaluated anyway: more readings than a run of the grid has
    would be more chances to be selected. Without early stopping (`num_rungs` 0) the last one alone.
    """
    exact = [num_steps / eta**power for power in range(num_rungs, 0, -1)]
    evaluated = [eval_every_steps * max(1, round(step / eval_every_steps)) for step in exact]
    return (*sorted({step for step in evaluated if step < num_steps}), num_steps)


class Rungs:
    """What proposals reached at each rung.

    Args:
        steps: of the rungs, ascending; at the last one everybody ends.
        eta: one in so many goes on.
    """

    def __init__(self, steps: Sequence[int], eta: int = ETA) -> None:
        assert list(steps) == sorted(set(steps)) and eta >= 2
        self.steps, self._eta = tuple(steps), eta
        self._scores: dict[int, dict[int, float]] = {step: {} for step in self.steps}

    def enter(self, step: int, scores: Mapping[int, float]) -> set[int]:
        """Proposals of one pack reach a rung; returns those that go on, none at the last rung.

        Args:
            step: of the rung.
            scores: by proposal, higher is better; NaN, of one that diverged, is worse than anything. Whoever was here
                before keeps the score of then.
        """
        here = self._scores[step]
        here.update({number: score for number, score in scores.items() if number not in here})
        if step == self.steps[-1]:
            return set()
        ranked = sorted(here, key=lambda number: (-_order(here[number]), number))
        num_going_on = max(1, len(ranked) // self._eta)
        return {number for number in ranked[:num_going_on] if number in scores and not math.isnan(here[number])}


def _order(score: float) -> float:
    return -math.inf if math.isnan(score) else score
