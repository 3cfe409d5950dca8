"""Gives proposals to workers and takes their results: the one place that writes the journals of a launch.

Workers come for a cohort whenever they have time, so the slow ones hold up nobody; every variant gets cohorts of the
same width, in turn, so that none learns from more results than the others. Without Ray: `study.search_trainable` puts
it into an actor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study import search_rows
from study.search_evaluation import Cohort
from study.search_plan import Journal, Plan, open_study, rows
from study.search_readings import Proposal, Reading
from study.storage import open_storage

LOST = "the worker died twice over this proposal"


@dataclass(frozen=True)
class Progress:
    """How many proposals there are in all, and how many have ended."""

    total: int
    ended: int


class SearchServer:
    """The studies of one launch.

    Args:
        out: URI of the ledger.
        plans: what to search.
        width: proposals of a cohort.
        per_pack: study -> proposals that are trained together at most.
    """

    def __init__(self, out: str, plans: Sequence[Plan], width: int, per_pack: Mapping[str, int]) -> None:
        self._storage = open_storage(out)
        self._plans = {plan.name: plan for plan in plans}
        self._width, self._per_pack = width, dict(per_pack)
        self._journals = {name: Journal(self._storage, name) for name in self._plans}
        self._studies = {name: open_study(plan, self._journals[name]) for name, plan in self._plans.items()}
        # What an earlier launch left unfinished comes first.
        self._again: list[list[Proposal]] = []
        for study in self._studies.values():
            left = study.unfinished()
            self._again += [left[start : start + width] for start in range(0, len(left), width)]
        self._unwritten = set(self._plans)
        self._at_work: dict[int, list[Proposal]] = {}
        self._lost: set[tuple[str, int]] = set()

    def next(self, lane: int) -> Cohort | None:
        """What a worker is to do now; None where nothing is left to be handed out.

        A worker that comes back without having ended its cohort is one that died and was started again: each of those
        proposals is then tried alone, so that in the end only the one that kills its worker is given up.
        """
        for proposal in self._at_work.pop(lane, []):
            key = (proposal.study, proposal.number)
            if key in self._lost:
                self.fail(proposal.study, proposal.number, LOST)
            else:
                self._lost.add(key)
                self._again.append([proposal])
        proposals = self._again.pop(0) if self._again else self._ask()
        self._write_rows()
        if not proposals:
            return None
        self._at_work[lane] = proposals
        plan = self._plans[proposals[0].study]
        return Cohort(
            plan.name, plan.target.base, plan.rung_steps, plan.num_seeds, self._per_pack[plan.name], tuple(proposals)
        )

    def _ask(self) -> list[Proposal]:
        """A cohort of the study of which the fewest proposals were asked for."""
        open_studies = [study for study in self._studies.values() if study.num_left]
        if not open_studies:
            return []
        study = min(open_studies, key=lambda each: len(each.trials))
        asked = study.ask(self._width, self._plans[study.name].shared)
        self._changed(study.name)
        return asked

    def reach(self, study: str, reached: Mapping[int, Reading]) -> set[int]:
        """Proposals come to a rung, or diverged on the way; returns those that go on."""
        going_on = self._studies[study].reach(reached)
        self._forget(study, reached.keys() - going_on)
        self._changed(study)
        return going_on

    def fail(self, study: str, number: int, error: str) -> None:
        """A proposal could not be trained."""
        self._studies[study].fail(number, error)
        self._forget(study, {number})
        self._changed(study)

    def progress(self) -> Progress:
        """Over all studies."""
        at_work = sum(len(proposals) for proposals in (*self._at_work.values(), *self._again))
        asked = sum(len(study.trials) for study in self._studies.values())
        return Progress(asked + sum(study.num_left for study in self._studies.values()), asked - at_work)

    def _forget(self, study: str, ended: set[int]) -> None:
        for lane, proposals in self._at_work.items():
            self._at_work[lane] = [each for each in proposals if each.study != study or each.number not in ended]

    def _changed(self, name: str) -> None:
        self._journals[name].push()
        self._unwritten.add(name)

    def _write_rows(self) -> None:
        """The tables of studies that have changed: once per cohort, since they are written whole."""
        for name in sorted(self._unwritten):
            search_rows.write(self._storage, name, rows(self._plans[name], self._studies[name]))
        self._unwritten.clear()
