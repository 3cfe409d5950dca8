"""The trials that Ray Tune runs: each trains a pack or makes a body. The worker commits; Tune sees aggregates only.

A step of a trial lasts a few seconds and reports how far the work is. Every report carries every key: Tune aborts the
whole experiment over a missing one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from ray import tune

from study.allocator import keep_freed_memory
from study.attempt import MakeEngine
from study.bodies import BodySource
from study.body_execution import BodyExecution
from study.capacity import has_gpu
from study.checkpoints import PERIOD_SECONDS
from study.execution import CommitFailed, Execution
from study.ledger import Ledger
from study.origin import Origin
from study.packing import Pack
from study.training import Training

_REPORT_SECONDS = 3.0


@dataclass(frozen=True)
class Job:
    """What all trials of one round share; it lies in Ray's object store, a trial's own configuration is a number.

    Attributes:
        out: URI of the ledger.
        revision: git revision that was launched; a worker may have no checkout.
        work: what trial number i trains or makes.
        sources: run id -> body of our own that the run needs.
        body_errors: body key -> why that body could not be made.
        checkpoint_seconds: between two states of a pack or a body.
    """

    out: str
    revision: str | None
    work: Sequence[Pack | BodySource]
    sources: Mapping[str, BodySource] = field(default_factory=dict)
    body_errors: Mapping[str, str] = field(default_factory=dict)
    checkpoint_seconds: float = PERIOD_SECONDS


class StudyTrial(tune.Trainable):
    """A trial that works a few seconds per step; its process is used again by the next trial.

    Class attributes:
        make_engine: what trains a pack.
    """

    make_engine: ClassVar[MakeEngine] = Training

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Ray's hook at the start of the process."""
        assert job is not None
        self._job = job
        self._ledger = Ledger(job.out)
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
        if self._has_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self._execution = self._begin(self._job.work[config["number"]])
        self._work = self._execution.steps()

    def _begin(self, work: Pack | BodySource) -> Execution | BodyExecution:
        device = torch.device("cuda" if self._has_gpu else "cpu")
        job = self._job
        if isinstance(work, BodySource):
            return BodyExecution(
                work,
                ledger=self._ledger,
                revision=job.revision,
                device=device,
                checkpoint_seconds=job.checkpoint_seconds,
            )
        origin = Origin(
            revision=job.revision,
            device=device,
            sources=job.sources,
            body_errors=job.body_errors,
            checkpoint_seconds=job.checkpoint_seconds,
        )
        return Execution(work, ledger=self._ledger, origin=origin, make_engine=type(self).make_engine)

    def step(self) -> dict[str, Any]:
        """Ray's hook: work for a few seconds, then report."""
        until = time.monotonic() + _REPORT_SECONDS
        is_done, fatal = True, ""
        try:
            for _ in self._work:
                if time.monotonic() > until:
                    is_done = False
                    break
        except CommitFailed as error:
            fatal = str(error)
        memory = torch.cuda.max_memory_allocated() if self._has_gpu else 0
        return {"done": is_done, "fatal": fatal, "gpu_memory_bytes": memory, **vars(self._execution.tally)}

    def cleanup(self) -> None:
        """Ray's hook before the process ends, also where the launch was interrupted."""
        self._execution.stop()
