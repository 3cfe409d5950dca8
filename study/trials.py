"""A round of trials under Ray Tune: all of them in their order, as much at once as the cluster holds."""

from __future__ import annotations

import dataclasses
import logging
import re
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.exceptions import ActorUnavailableError, RayTaskError
from ray.tune.experiment import Trial

from study.cluster import is_gone
from study.errors import UserError, one_line
from study.interruption import Interruption
from study.progress import Board, Part
from study.retries import EARLY_LOSS, NODE_LOSS

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Stopper(tune.Stopper):
    """Ends the round early: every trial is given the time to keep what it did. Ray pickles a copy, which it never asks.

    Attributes:
        fatal: why the round makes no sense any more; empty while it does.
    """

    def __init__(self, interruption: Interruption, board: Board) -> None:
        self._interruption, self._board = interruption, board
        self._has_said = False
        self.fatal = ""

    def __getstate__(self) -> dict[str, Any]:
        return {"fatal": self.fatal}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Ray's hook after every report."""
        del trial_id
        self.fatal = self.fatal or result["fatal"]
        return False

    def stop_all(self) -> bool:
        """Ray's hook, several times a second."""
        if self._interruption.has_come and not self._has_said:
            self._board.say("stopping: trials keep what they did; once more to stop at once")
            self._has_said = True
        self._board.look()
        return bool(self.fatal) or self._interruption.has_come


class BoardCallback(tune.Callback):
    """Shows reports on a board. Ray pickles its callbacks; the copy has no board and stays silent.

    Attributes:
        errors: number of a trial -> the last error that it reported.
        died: id of a trial that Tune gave up -> its number, and how often it had failed; a worker that dies at once
            leaves no report to say it.
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self.errors: dict[int, str] = {}
        self.died: dict[str, tuple[int, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_board": None, "errors": {}, "died": {}}

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Ray's hook after the last failure of a trial."""
        del iteration, trials, info
        self.died[trial.trial_id] = (trial.config["number"], trial.num_failures)
        if self._board is not None:
            self._board.lose(trial.config["number"])

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


class Work(Protocol):
    """What all trials of one round share."""

    @property
    def work(self) -> Sequence[Any]:
        """What each of them does, by its number."""
        ...


def fit(
    trial: type[tune.Trainable],
    job: Work,
    *,
    cpus: Sequence[int] | None = None,
    gpus: Sequence[float] | None = None,
    max_failures: int,
    board: Board,
) -> dict[int, str]:
    """Run a job's work in its order, as much at once as the cluster holds.

    Args:
        trial: what runs it; its configuration is a number, and every report has the fields of `progress.Part`,
            `fatal` and `done`.
        job: what to do.
        cpus: of each trial; one by default.
        gpus: of each trial, parts of one too; none by default.
        max_failures: lost workers that a trial survives, each time from its last checkpoint.
        board: where reports are shown.

    Returns:
        By number, why a trial failed: what it reported, or how its worker died.

    Raises:
        UserError: results cannot be committed; nothing that was committed is lost.
        KeyboardInterrupt: Ctrl-C or SIGTERM; what the trials did is kept.
    """
    callback = BoardCallback(board)
    head = ray.get_runtime_context().gcs_address
    interruption = Interruption(is_gone=lambda: is_gone(head))
    stopper = Stopper(interruption, board)

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        number = config["number"]
        bundle = {"CPU": float(cpus[number] if cpus else 1), "GPU": float(gpus[number] if gpus else 0)}
        return tune.PlacementGroupFactory([bundle])

    # Ray logs whole tracebacks of what becomes a row of the ledger or an error of ours.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="study-tune-") as folder, board.shown(), interruption.caught():
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, job=job), resources),
            param_space={"number": tune.grid_search(list(range(len(job.work))))},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(
                name=f"study-{uuid.uuid4().hex[:8]}",
                storage_path=folder,
                failure_config=tune.FailureConfig(max_failures=max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                stop=stopper,
                callbacks=[callback],
                verbose=0,
            ),
        )
        results = tuner.fit()
    if interruption.has_come:
        raise KeyboardInterrupt
    if stopper.fatal:
        raise UserError(f"stopped, results cannot be written: {stopper.fatal}")
    for result in results:
        if result.error:
            number, num_failures = callback.died[Path(result.path).name]
            callback.errors[number] = _explained(result.error, is_final=num_failures > max_failures)
    return callback.errors


def _explained(error: Exception, *, is_final: bool) -> str:
    """What the worker raised, or how it died; without the traceback and the colours of its process.

    Tune gives up at once, whatever it was allowed (`is_final` says that it was not), where a process dies between two
    trials: the next one had not begun.
    """
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    is_gone = isinstance(error, ActorUnavailableError) or getattr(error, "preempted", False)
    # What Ray's core says of an actor whose node is dead; the error itself has no field for it.
    is_gone = is_gone or "node has died" in str(error)
    what = NODE_LOSS if is_gone else "the worker died" if is_final else EARLY_LOSS
    return f"{what}: {one_line(_COLOUR.sub('', str(error)))}"
