"""Proposals are evaluated in packs: those that share shapes train as one model, each over all its seeds.

At every rung each proposal tells what it has reached and hears whether it goes on; whoever does not leaves the pack.
Knows neither ray nor optuna.
"""

from __future__ import annotations

import gc
import logging
import math
import statistics
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from study.errors import StorageError, one_line
from study.execution import FAILURES
from study.exhaustion import is_lasting
from study.measurements import Evaluated, Measurement
from study.origin import Origin
from study.search_readings import Proposal, Reading
from study.search_space import SHAPES
from study.search_targets import searched_runs
from study.spec import RunSpec
from study.storage import Storage
from tasks.catalogue import make_task

_MAX_ERROR_LENGTH = 500
_TIE = 1e-8
"""Below the smallest difference between two mean accuracies: one of fifty million predictions."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cohort:
    """Proposals of one study that a worker evaluates.

    Attributes:
        study: its name.
        base: the run that proposals change.
        rung_steps: where they tell what they have reached.
        num_seeds: of each proposal.
        per_pack: proposals that are trained together at most.
        proposals: of the study.
    """

    study: str
    base: RunSpec
    rung_steps: tuple[int, ...]
    num_seeds: int
    per_pack: int
    proposals: tuple[Proposal, ...]


class Referee(Protocol):
    """Who takes results: `study.search_server.SearchServer`, near or far."""

    def reach(self, study: str, reached: Mapping[int, Reading]) -> set[int]:
        """Proposals come to a rung, or diverged on the way; returns those that go on."""
        ...

    def fail(self, study: str, number: int, error: str) -> None:
        """A proposal could not be trained."""
        ...


class Engine(Protocol):
    """What trains: `study.search_training.SearchTraining`."""

    step: int

    def rounds(self) -> Iterator[list[Measurement]]:
        """Measurements as they come; a list may be empty."""
        ...

    def drop(self, run_ids: set[str]) -> None:
        """Go on without these runs."""
        ...


def evaluate(
    cohort: Cohort, referee: Referee, *, origin: Origin, storage: Storage, make_engine: Callable[..., Engine]
) -> Iterator[None]:
    """Evaluate every proposal, pausing every few seconds and at each evaluation.

    Args:
        cohort: what to do.
        referee: takes the results.
        origin: machine and code.
        storage: of the ledger, where bodies lie.
        make_engine: the training engine.
    """
    alike: dict[tuple, list[Proposal]] = {}
    for proposal in cohort.proposals:
        alike.setdefault(tuple(proposal.values[name] for name in SHAPES), []).append(proposal)
    for proposals in alike.values():
        for start in range(0, len(proposals), cohort.per_pack):
            pack = proposals[start : start + cohort.per_pack]
            yield from _tried(_Pack(cohort, pack, referee), origin, storage, make_engine)


def _tried(pack: _Pack, origin: Origin, storage: Storage, make_engine: Callable[..., Engine]) -> Iterator[None]:
    """Train a pack; where that fails each proposal alone, so that only the bad one fails."""
    try:
        yield from pack.steps(_engine(pack.runs, origin, storage, make_engine))
    except StorageError:
        raise
    except FAILURES as error:
        if is_lasting(error):
            raise  # the proposals are told to the next worker
        # As text: whatever holds the exception holds the engine, and with it the memory.
        _logger.warning(
            "evaluating %d proposals failed: %s", len(pack.left), "".join(traceback.format_exception(error))
        )
        reason = one_line(f"{type(error).__name__}: {error}")[:_MAX_ERROR_LENGTH]
    else:
        return
    gc.collect()
    if origin.device.type == "cuda":
        torch.cuda.empty_cache()
    if len(pack.left) == 1:
        pack.referee.fail(pack.cohort.study, pack.left[0].number, reason)
        return
    for proposal in pack.left:
        yield from _tried(_Pack(pack.cohort, [proposal], pack.referee), origin, storage, make_engine)


def _engine(runs: Sequence[RunSpec], origin: Origin, storage: Storage, make_engine: Callable[..., Engine]) -> Engine:
    task = make_task(runs[0].task, protocol=runs[0].protocol, args=runs[0].task_args)
    architecture, state = origin.load_body(runs[0], storage)  # one body: see searched_runs
    return make_engine(runs, task=task, architecture=architecture, bodies=[state for _ in runs], device=origin.device)


class _Pack:
    """Proposals that train together.

    Attributes:
        cohort, referee: as given.
        left: proposals that have not ended.
        runs: of all of them.
    """

    def __init__(self, cohort: Cohort, proposals: Sequence[Proposal], referee: Referee) -> None:
        self.cohort, self.referee = cohort, referee
        self.left = list(proposals)
        self._runs = {each.number: searched_runs(cohort.base, each.values, cohort.num_seeds) for each in proposals}
        self.runs = [run for runs in self._runs.values() for run in runs]
        self._best: dict[str, tuple[float, float]] = {}
        self._diverged: set[str] = set()

    def steps(self, engine: Engine) -> Iterator[None]:
        """Train until every proposal has ended."""
        rungs = list(self.cohort.rung_steps)
        for measurements in engine.rounds():
            for measurement in measurements:
                self._take(measurement)
            if any(isinstance(each, Evaluated) for each in measurements):
                due = self.left if engine.step in rungs else self._bad()
                if due:
                    self._judge(engine, due)
            yield
            if not self.left:
                return
        assert not self.left, "training ended before its proposals did"

    def _take(self, measurement: Measurement) -> None:
        if not isinstance(measurement, Evaluated):
            self._diverged.add(measurement.run_id)  # runs are dropped before they are done
        elif measurement.split == "valid":
            run_id, accuracy, loss = measurement.run_id, measurement.accuracy, measurement.loss
            if not math.isfinite(loss):
                self._diverged.add(run_id)
            else:
                # The order in which a run of a grid selects its step.
                self._best[run_id] = max(self._best.get(run_id, (-math.inf, -math.inf)), (accuracy, -loss))

    def _bad(self) -> list[Proposal]:
        """Proposals one of whose seeds diverged."""
        return [
            each for each in self.left if not self._diverged.isdisjoint(run.run_id for run in self._runs[each.number])
        ]

    def _judge(self, engine: Engine, due: Sequence[Proposal]) -> None:
        bad = {each.number for each in self._bad()}
        rung = next(step for step in self.cohort.rung_steps if step >= engine.step)
        reached = {each.number: self._reading(each.number, rung, engine.step, each.number in bad) for each in due}
        going_on = self.referee.reach(self.cohort.study, reached)
        ended = reached.keys() - going_on
        self.left = [each for each in self.left if each.number not in ended]
        engine.drop({run.run_id for number in ended for run in self._runs[number]})

    def _reading(self, number: int, rung: int, step: int, has_diverged: bool) -> Reading:
        runs = self._runs[number]
        best = [self._best.get(run.run_id) for run in runs]
        measured = [each for each in best if each is not None]
        score = math.nan
        if not has_diverged:
            score = score_of([accuracy for accuracy, _ in measured], [-negative for _, negative in measured])
        return Reading(
            step=rung,
            accuracies=tuple(None if each is None else each[0] for each in best),
            losses=tuple(None if each is None else -each[1] for each in best),
            score=score,
            num_steps=step * len(runs),
        )


def score_of(accuracies: Sequence[float], losses: Sequence[float]) -> float:
    """What orders proposals: mean accuracy over seeds, and where that is equal, as at 100 %, lower mean loss."""
    return statistics.fmean(accuracies) + _TIE * math.exp(-statistics.fmean(losses))
