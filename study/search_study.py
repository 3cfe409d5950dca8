"""One study of Optuna by ask and tell, kept in a journal, so that it goes on where a killed search left it.

A proposal that is stopped early is told as PRUNED with what it had reached, never as COMPLETE: a short training's value
stands for nothing else. One that diverged is PRUNED too, so that the sampler learns to stay away; one that could not be
trained is FAIL, from which it learns nothing. Knows neither ray nor torch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from study.errors import UserError, one_line
from study.search_readings import (
    COMPLETE,
    DIVERGED,
    ERROR,
    FAILED,
    PRUNED,
    READINGS,
    STATE,
    Proposal,
    Reading,
    as_plain,
    readings,
)
from study.search_rungs import Rungs
from study.search_samplers import make_sampler
from study.search_space import Range, Space, Value


class SearchStudy:
    """Asks for proposals, takes what they reached and says which go on.

    Args:
        journal: file that is made where it is missing.
        name: of the study.
        space: of its proposals.
        sampler: name of a sampler (`study.search_samplers`).
        rung_steps: where proposals are compared, the last step included.
        num_samples: proposals in all.
        first: values to propose first, as far as the space holds them.
        points: the proposals themselves, in their order, where no sampler chooses them.
    """

    def __init__(
        self,
        journal: Path,
        name: str,
        space: Space,
        *,
        sampler: str,
        rung_steps: Sequence[int],
        num_samples: int,
        first: Mapping[str, Value],
        points: Sequence[Mapping[str, Value]] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        mend(journal)
        self.name, self.space, self.num_samples = name, space, num_samples
        self._first, self._points = dict(first), list(points)
        try:
            self._storage = JournalStorage(JournalFileBackend(str(journal)))
            known_names = [known.study_name for known in self._storage.get_all_studies()]
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"{journal} is damaged ({one_line(error)}); move it away to search anew") from None
        if name in known_names:
            self._study = optuna.load_study(study_name=name, storage=self._storage)
        else:
            self._study = optuna.create_study(study_name=name, storage=self._storage, direction="maximize")
        self._study.sampler = make_sampler(sampler, seed=_seed(name, len(self.trials)), num_samples=num_samples)
        self._rungs = Rungs(rung_steps)
        for trial in self.trials:
            for reading in readings(trial):
                self._rungs.enter(reading.step, {trial.number: reading.score})

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every proposal that was asked for."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state is not TrialState.WAITING]

    @property
    def num_left(self) -> int:
        """Proposals that have not been asked for."""
        return max(0, self.num_samples - len(self.trials))

    @property
    def best(self) -> FrozenTrial | None:
        """The complete proposal with the highest score, the earliest among equals."""
        complete = [trial for trial in self.trials if trial.state is TrialState.COMPLETE]
        return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Keep facts with the study, for whoever opens its journal."""
        for key, value in facts.items():
            if self._study.user_attrs.get(key) != value:
                self._study.set_user_attr(key, value)

    def unfinished(self) -> list[Proposal]:
        """Proposals that somebody asked for and nobody ended; to be evaluated once more."""
        left = [trial for trial in self.trials if trial.state is TrialState.RUNNING]
        return [self._proposal(Trial(self._study, self._id(trial.number))) for trial in left]

    def ask(self, count: int, shared: Sequence[str] = ()) -> list[Proposal]:
        """Up to that many new proposals; the dimensions `shared` of all of them are those of the first."""
        asked: list[Proposal] = []
        for _ in range(min(count, self.num_left)):
            values = {name: asked[0].values[name] for name in shared} if asked else {}
            asked.append(self._ask(values))
        return asked

    def _ask(self, values: Mapping[str, Value]) -> Proposal:
        number = len(self.trials)
        names = {each.name for each in self.space.dimensions}
        fixed = {name: value for name, value in values.items() if name in names}
        if self._points:
            fixed = dict(self._points[number])
        elif number == 0:
            fixed = self._first
        is_waiting = any(trial.state is TrialState.WAITING for trial in self._study.get_trials(deepcopy=False))
        if fixed and not is_waiting:  # one waits where a search was killed between the next two lines
            self._study.enqueue_trial(fixed)
        return self._proposal(self._study.ask())

    def _proposal(self, trial: Trial) -> Proposal:
        chosen: dict[str, Value] = {}
        for each in self.space.dimensions:
            if not self.space.is_open(each, chosen):
                continue
            if isinstance(each.domain, Range):
                bounds = (each.domain.low, each.domain.high)
                chosen[each.name] = trial.suggest_float(each.name, *bounds, log=each.domain.is_log)
            else:
                chosen[each.name] = trial.suggest_categorical(each.name, each.domain.values)
        return Proposal(self.name, trial.number, self.space.values(chosen))

    def reach(self, reached: Mapping[int, Reading]) -> set[int]:
        """Proposals of one pack come to a rung; those that do not go on have ended.

        Returns:
            The numbers of those that go on; none at the last rung.
        """
        going_on: set[int] = set()
        # A worker that was given up may still be alive: what it tells of a proposal that has ended changes nothing.
        reached = {number: each for number, each in reached.items() if not self._trial(number).state.is_finished()}
        for step in sorted({reading.step for reading in reached.values()}):
            here = {number: reading for number, reading in reached.items() if reading.step == step}
            going_on |= self._rungs.enter(step, {number: reading.score for number, reading in here.items()})
        for number, reading in reached.items():
            self._keep(number, reading)
            if number not in going_on:
                self._end(number, reading)
        return going_on

    def _keep(self, number: int, reading: Reading) -> None:
        known = [each for each in readings(self._trial(number)) if each.step != reading.step]
        self._set(number, READINGS, [as_plain(each) for each in (*known, reading)])
        if not math.isnan(reading.score):
            self._storage.set_trial_intermediate_value(self._id(number), reading.step, reading.score)

    def _end(self, number: int, reading: Reading) -> None:
        if math.isnan(reading.score):
            self._tell(number, DIVERGED, TrialState.PRUNED)
        elif reading.step == self._rungs.steps[-1]:
            self._tell(number, COMPLETE, TrialState.COMPLETE, reading.score)
        else:
            self._tell(number, PRUNED, TrialState.PRUNED)

    def fail(self, number: int, error: str) -> None:
        """A proposal could not be trained; nothing changes where it has ended already, as in `reach`."""
        if self._trial(number).state.is_finished():
            return
        self._set(number, ERROR, error)
        self._tell(number, FAILED, TrialState.FAIL)

    def _tell(self, number: int, state: str, optuna_state: TrialState, score: float | None = None) -> None:
        self._set(number, STATE, state)
        self._study.tell(number, score, state=optuna_state)

    def _set(self, number: int, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._id(number), name, value)

    def _trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        study_id = self._storage.get_study_id_from_name(self.name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, number)


def mend(journal: Path) -> None:
    """Cut off the line that a kill tore, which Optuna would take for the beginning of the next one."""
    if not journal.exists():
        return
    data = journal.read_bytes()
    if data and not data.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def _seed(name: str, num_trials: int) -> int:
    """Another one after every restart: the same would propose the same points again."""
    return int.from_bytes(hashlib.sha256(f"{name} {num_trials}".encode()).digest()[:4], "big")
