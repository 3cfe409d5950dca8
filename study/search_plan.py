"""What one search does, settled before it starts: variant, space, sampler, budget; and its study in a journal."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from study.bodies import BodySource
from study.provenance import versions
from study.search_readings import error_of, readings, state_of
from study.search_rows import journal_path
from study.search_rungs import ETA, rung_steps
from study.search_samplers import GRID, TO_THE_END
from study.search_space import SHAPES, Space, Value, own_values
from study.search_study import SearchStudy
from study.search_targets import FIRST_SEED, Target, searched_body_seed, study_name
from study.spec import ENGINE_VERSION, canonical_json
from study.storage import Storage
from study.storage_local import LocalStorage


@dataclass(frozen=True)
class Plan:
    """One search.

    Attributes:
        target: the variant, with the runs that will use the result.
        space: of its proposals.
        sampler: name of what chooses them.
        num_samples: proposals in all.
        num_seeds: of each proposal.
        chance_accuracy: of a uniform guess.
        points: the proposals themselves, with sampler `grid`.
        source: body of our own that its runs start from; None where there is none.
    """

    target: Target
    space: Space
    sampler: str
    num_samples: int
    num_seeds: int
    chance_accuracy: float
    points: tuple[Mapping[str, Value], ...] = ()
    source: BodySource | None = field(default=None, compare=False)

    @cached_property
    def name(self) -> str:
        """Of the study; the same for the same search, however many proposals are asked for."""
        settings = {
            "sampler": self.sampler,
            "seeds": self.num_seeds,
            "eta": ETA,
            "rung_steps": list(self.rung_steps),
            "first": self.first,
            "body_seed": searched_body_seed(self.target.base),
            "engine_version": ENGINE_VERSION,
        }
        return study_name(self.target, self.space, settings | {"points": [dict(point) for point in self.points]})

    @property
    def first(self) -> dict[str, Value]:
        """The grid's own setting, as far as the space holds it: the first proposal of a sampler."""
        return self.space.own(own_values(self.target.base))

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Steps at which proposals are compared; with samplers that stop none early the last one alone."""
        base = self.target.base
        rungs = {"num_rungs": 0} if self.sampler in TO_THE_END else {}
        return rung_steps(base.num_steps, base.eval_every_steps, **rungs)

    @property
    def shared(self) -> tuple[str, ...]:
        """Dimensions that the proposals of one cohort share."""
        return () if self.sampler == GRID else SHAPES

    def facts(self) -> dict[str, Any]:
        """What the study is about, for whoever opens its journal."""
        base = self.target.base
        return {
            "task": base.task,
            "variant": self.target.variant,
            "base": base.to_json(),
            "space": self.space.described(),
            "sampler": self.sampler,
            "seeds": self.num_seeds,
            "rung_steps": list(self.rung_steps),
            "versions": dict(versions()),
        }


class Journal:
    """The file in which a study is kept: in the ledger's own folder, or a local copy of an object in a store.

    Optuna appends to files only, so a store gets the whole journal anew whenever `push` is called: before a worker is
    answered, so that nothing that was told is lost.
    """

    def __init__(self, storage: Storage, study: str) -> None:
        self._storage, self._name = storage, journal_path(study)
        self._is_copy = not isinstance(storage, LocalStorage)
        self._pushed = -1
        if isinstance(storage, LocalStorage):
            self.path = storage.root / self._name
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return
        folder = tempfile.mkdtemp(prefix="study-search-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(folder) / "journal.log"
        if storage.kind(self._name) == "file":
            self.path.write_bytes(storage.read(self._name))

    def push(self) -> None:
        """Bring the journal to the store, if it has changed and is not there already.

        Raises:
            StorageError: the place fails.
        """
        if not self._is_copy or not self.path.exists():
            return
        size = self.path.stat().st_size
        if size != self._pushed:
            self._storage.replace(self._name, self.path.read_bytes())
            self._pushed = size


def open_study(plan: Plan, journal: Journal) -> SearchStudy:
    """The plan's study, made where it is missing."""
    study = SearchStudy(
        journal.path,
        plan.name,
        plan.space,
        sampler=plan.sampler,
        rung_steps=plan.rung_steps,
        num_samples=len(plan.points) or plan.num_samples,
        first=plan.first,
        points=plan.points,
    )
    study.describe(plan.facts())
    journal.push()
    return study


def rows(plan: Plan, study: SearchStudy) -> list[dict[str, Any]]:
    """Every proposal as a row of `study.search_rows.TRIALS`."""
    columns = plan.target.base.as_columns()
    for name in ("seed", "body_seed", "warmup_steps"):
        del columns[name]
    made = []
    for trial in study.trials:
        chosen = dict(trial.params)
        reached = sorted(readings(trial), key=lambda reading: reading.step)
        whole = [reading for reading in reached if None not in reading.accuracies]
        made.append(
            {
                **columns,
                **plan.space.values(chosen),
                "study": plan.name,
                "number": trial.number,
                "variant": plan.target.variant,
                "sampler": plan.sampler,
                "state": state_of(trial),
                "error": error_of(trial),
                "score": _mean(whole[-1].accuracies) if whole else None,
                "params": canonical_json(chosen),
                "seeds": list(range(FIRST_SEED, FIRST_SEED + plan.num_seeds)),
                "rung_steps": [reading.step for reading in whole],
                "rung_accuracies": [_mean(reading.accuracies) for reading in whole],
                "rung_losses": [_mean(reading.losses) for reading in whole],
                "seed_accuracies": list(reached[-1].accuracies) if reached else None,
                "chance_accuracy": plan.chance_accuracy,
                "num_steps_done": reached[-1].num_steps if reached else 0,
                "started_at": trial.datetime_start,
                "ended_at": trial.datetime_complete,
            }
        )
    return made


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)
