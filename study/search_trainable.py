"""The trials that Ray Tune runs for a search: each is a worker that fetches cohorts until there are none left.

Proposals are asked for and judged by one actor beside the driver (`study.search_server`), so a trial of Tune lasts as
long as the search, and Tune's own overhead for each trial is paid once per worker. Every report carries every key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import ray
import torch
from ray import tune
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.allocator import keep_freed_memory
from study.bodies import BodySource
from study.capacity import has_gpu
from study.errors import StorageError, one_line
from study.origin import Origin
from study.search_evaluation import Cohort, Engine, evaluate
from study.search_plan import Plan
from study.search_readings import Reading
from study.search_server import Progress, SearchServer
from study.search_targets import searched_runs
from study.search_training import SearchTraining
from study.storage import open_storage

_REPORT_SECONDS = 3.0


@dataclass(frozen=True)
class SearchJob:
    """What all workers of a search share.

    Attributes:
        out: URI of the ledger.
        revision: git revision that was launched.
        work: numbers of the workers.
        server: the actor that hands out proposals.
        sources: study -> body of our own that its runs start from.
    """

    out: str
    revision: str | None
    work: Sequence[int]
    server: Any
    sources: Mapping[str, BodySource] = field(default_factory=dict)


def start_server(out: str, plans: Sequence[Plan], width: int, per_pack: Mapping[str, int]) -> Any:
    """The server as an actor on this machine, where the journals are; Ray must be connected."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0)(SearchServer).options(scheduling_strategy=here)
    return actor.remote(out, plans, width, per_pack)


class _Far:
    """The server, as a worker sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def next(self, lane: int) -> Cohort | None:
        return self._ask("next", lane)

    def reach(self, study: str, reached: Mapping[int, Reading]) -> set[int]:
        return self._ask("reach", study, reached)

    def fail(self, study: str, number: int, error: str) -> None:
        self._ask("fail", study, number, error)

    def progress(self) -> Progress:
        return self._ask("progress")

    def _ask(self, method: str, *arguments: object) -> Any:
        return ray.get(getattr(self._actor, method).remote(*arguments))


class SearchTrial(tune.Trainable):
    """A worker of a search.

    Class attributes:
        make_engine: what trains a pack.
    """

    make_engine: ClassVar[Callable[..., Engine]] = SearchTraining

    def setup(self, config: dict[str, Any], job: SearchJob | None = None) -> None:
        """Ray's hook at the start of the process."""
        assert job is not None
        self._job, self._server, self._place = job, _Far(job.server), open_storage(job.out)
        keep_freed_memory()
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Ray's hook at the start of the next trial in the same process."""
        self._start(new_config)
        return True

    def _start(self, config: dict[str, Any]) -> None:
        required = self.trial_resources.required_resources if self.trial_resources else {}
        torch.set_num_threads(max(1, int(required.get("CPU", 1))))
        self._has_gpu = has_gpu(required.get("GPU", 0.0))
        self._lane, self._ended = config["number"], 0
        self._work = self._cohorts()

    def _cohorts(self) -> Iterator[None]:
        device = torch.device("cuda" if self._has_gpu else "cpu")
        while (cohort := self._server.next(self._lane)) is not None:
            source = self._job.sources.get(cohort.study)
            values = [proposal.values for proposal in cohort.proposals]
            runs = [run for each in values for run in searched_runs(cohort.base, each, cohort.num_seeds)]
            sources = {} if source is None else {run.run_id: source for run in runs}
            origin = Origin(self._job.revision, device, sources)
            yield from evaluate(
                cohort, self._server, origin=origin, storage=self._place, make_engine=type(self).make_engine
            )
            self._ended += len(cohort.proposals)

    def step(self) -> dict[str, Any]:
        """Ray's hook: work for a few seconds, then report."""
        until = time.monotonic() + _REPORT_SECONDS
        is_done, fatal, progress = True, "", Progress(1, 0)
        try:
            for _ in self._work:
                if time.monotonic() > until:
                    is_done = False
                    break
            progress = self._server.progress()
        except (RayError, StorageError) as error:
            # The server is gone, or it cannot write: nothing that is evaluated now could be kept.
            fatal = one_line(error.cause if isinstance(error, RayTaskError) else error)
        memory = torch.cuda.max_memory_allocated() if self._has_gpu else 0
        return {
            "done": is_done or bool(fatal),
            "fatal": fatal,
            "gpu_memory_bytes": memory,
            "ended": self._ended,
            "failed": 0,
            "diverged": 0,
            "fraction": 1.0 if is_done else min(0.99, progress.ended / max(1, progress.total)),
            "error": "",
            "note": "",
            "restored": 0.0,
        }
