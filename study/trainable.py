"""The trials that Ray Tune runs: each trains a pack or makes a body. The worker commits; Tune sees aggregates only.

A step of a trial lasts a few seconds and reports how far the work is. Every report carries every key: Tune aborts the
whole experiment over a missing one.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial

from study.allocator import keep_freed_memory
from study.bodies import BodySource
from study.body_execution import BodyExecution
from study.errors import one_line
from study.execution import Execution, Origin
from study.ledger import Ledger
from study.packing import Pack
from study.progress import Board, Part

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
    """

    out: str
    revision: str | None
    work: Sequence[Pack | BodySource]
    sources: dict[str, BodySource] = field(default_factory=dict)
    body_errors: dict[str, str] = field(default_factory=dict)


class StudyTrial(tune.Trainable):
    """A trial that works a few seconds per step; its process is used again by the next trial."""

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
        resources = self.trial_resources
        torch.set_num_threads(max(1, int(resources.required_resources.get("CPU", 1)) if resources else 1))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._execution = self._begin(self._job.work[config["number"]])
        self._work = self._execution.steps()

    def _begin(self, work: Pack | BodySource) -> Execution | BodyExecution:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        job = self._job
        if isinstance(work, BodySource):
            return BodyExecution(work, ledger=self._ledger, revision=job.revision, device=device)
        origin = Origin(revision=job.revision, device=device, sources=job.sources, body_errors=job.body_errors)
        return Execution(work, ledger=self._ledger, origin=origin)

    def step(self) -> dict[str, Any]:
        """Ray's hook: work for a few seconds, then report."""
        until = time.monotonic() + _REPORT_SECONDS
        is_done = True
        for _ in self._work:
            if time.monotonic() > until:
                is_done = False
                break
        return {"done": is_done, **vars(self._execution.tally)}


class BoardCallback(tune.Callback):
    """Shows reports on a board. Ray pickles its callbacks; the copy has no board and stays silent.

    Attributes:
        errors: number of a trial -> the last error that it reported.
        died: id of a trial that Tune gave up -> its number; a worker that dies at once leaves no report to say it.
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self.errors: dict[int, str] = {}
        self.died: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_board": None, "errors": {}, "died": {}}

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Ray's hook after the last failure of a trial."""
        del iteration, trials, info
        self.died[trial.trial_id] = trial.config["number"]

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Ray's hook after every report."""
        del iteration, trials, info
        if result["error"]:
            self.errors[trial.config["number"]] = result["error"]
        if self._board is not None:
            shown = {field.name: result[field.name] for field in dataclasses.fields(Part)}
            self._board.update(trial.config["number"], Part(**shown))


def fit(
    trial: type[StudyTrial],
    job: Job,
    *,
    cpus: Sequence[int] | None = None,
    gpus: int = 0,
    max_failures: int,
    board: Board,
) -> dict[int, str]:
    """Run a job's work in its order, as much at once as the cluster holds.

    Args:
        trial: what runs it.
        job: what to do.
        cpus: of each trial; one by default.
        gpus: of every trial.
        max_failures: lost workers that a trial survives, each time from its start.
        board: where reports are shown.

    Returns:
        By number, why a trial failed: what it reported, or how its worker died.
    """
    callback = BoardCallback(board)

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": cpus[config["number"]] if cpus else 1, "GPU": gpus}])

    # Ray logs whole tracebacks of what becomes a row of the ledger or an error of ours.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="study-tune-") as folder, board.shown():
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, job=job), resources),
            param_space={"number": tune.grid_search(list(range(len(job.work))))},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(
                name=f"study-{uuid.uuid4().hex[:8]}",
                storage_path=folder,
                failure_config=tune.FailureConfig(max_failures=max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[callback],
                verbose=0,
            ),
        )
        results = tuner.fit()
    for result in results:
        if result.error:
            callback.errors[callback.died[Path(result.path).name]] = _explained(result.error)
    return callback.errors


def _explained(error: Exception) -> str:
    """What the worker raised, or that it died; without the traceback of its process."""
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    return f"the worker died: {one_line(error)}"
