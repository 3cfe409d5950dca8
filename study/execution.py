"""One pack from its specifications to committed rows: the work of a trial, without Ray.

Whatever goes wrong with a run becomes a row of the ledger that says so; runs that ended before are left alone, so that
an execution may be repeated after any crash. The rows of a pack are committed together, at its end: one part per pack
keeps the files few, and what a crash loses until then is bounded by checkpoints.
"""

from __future__ import annotations

import gc
import logging
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import torch

from models.weights import OfflineError
from study import checkpoints
from study.attempt import Attempt, Engine, MakeEngine, Row
from study.bodies import MissingBody
from study.checkpoints import Checkpoint
from study.errors import StorageError, one_line
from study.exhaustion import is_lasting, is_out_of_memory
from study.ledger import Ledger
from study.origin import Origin
from study.packing import Pack
from study.spec import RunSpec
from study.state_file import LEAST_SECONDS
from study.tally import Tally
from study.training import Training
from tasks.base import Task
from tasks.catalogue import make_task
from tasks.files import MissingData

_EXPECTED = (MissingData, MissingBody, OfflineError)
"""What the whole pack shares: the same would happen to each of its runs alone."""
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What faulty code, data or hardware raises; RuntimeError holds torch's errors. Interrupts end the trial."""
_MAX_ERROR_LENGTH = 500
_COMMIT_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before each further try to commit what was trained: a disk may be given room, a network may come back."""

_logger = logging.getLogger(__name__)


class CommitFailed(Exception):
    """What was trained cannot be committed, although it was tried for a while; the message says where and why."""


@dataclass(frozen=True)
class _Failure:
    """Why runs could not be trained together, and what of: something they share, memory, or one of them."""

    reason: str
    kind: Literal["shared", "memory", "other"]


class Execution:
    """Trains one pack and commits its rows.

    Args:
        pack: what to train.
        ledger: where its rows go.
        origin: machine and code.
        make_engine: the training engine.
    """

    def __init__(self, pack: Pack, *, ledger: Ledger, origin: Origin, make_engine: MakeEngine = Training) -> None:
        self._pack, self._ledger, self._origin, self._make_engine = pack, ledger, origin, make_engine
        self._attempt: Attempt | None = None
        self._num_steps = sum(run.num_steps for run in pack.runs)
        self._num_steps_done = 0
        self.tally = Tally(total=len(pack.runs))

    def steps(self) -> Iterator[None]:
        """Work, pausing at each evaluation and every few seconds; whoever iterates may read `tally` and report.

        Raises:
            CommitFailed: the results of this execution are lost, but for a checkpoint.
            torch.AcceleratorError: this process can use its GPU no more; another one may go on.
            StorageError: the ledger cannot be read.
        """
        yield from self._train(self._pack.runs)
        self.tally.fraction = 1.0

    def stop(self) -> None:
        """Keep what was done since the last checkpoint; to be called during a pause, if no other step follows."""
        if self._attempt is not None:
            self._attempt.save(least_seconds=min(LEAST_SECONDS, self._origin.checkpoint_seconds))

    def _train(self, runs: Sequence[RunSpec]) -> Iterator[None]:
        """Train runs together until each has a row.

        Where memory runs out they are tried in halves; where it fails for another reason that they do not share, each
        alone, so that only the bad one fails.
        """
        if self._ledger.has_results([run.run_id for run in runs]):
            checkpoints.remove(self._ledger.storage, Pack(tuple(runs)).pack_id)
            self._count(runs, [])
            return
        started_at = datetime.now(UTC)
        failure = yield from self._tried(runs)
        if failure is None:
            return
        if len(runs) == 1 or failure.kind == "shared":
            rows = [failed_row(run, failure.reason) for run in runs]
            self.tally.error = rows[0]["error"]
            yield from self._commit(runs, rows, started_at)
            return
        _free_memory(self._origin.device)
        size = (len(runs) + 1) // 2 if failure.kind == "memory" else 1
        _logger.warning("pack %s goes on in packs of %d: %s", self._pack.pack_id, size, failure.reason)
        for start in range(0, len(runs), size):
            yield from self._train(runs[start : start + size])

    def _tried(self, runs: Sequence[RunSpec]) -> Generator[None, None, _Failure | None]:
        """Train runs together to their rows, or say why not; afterwards nothing refers to the engine any more."""
        checkpoint = Checkpoint(
            Pack(tuple(runs)),
            storage=self._ledger.storage,
            stamp=self._origin.stamp(runs),
            period_seconds=self._origin.checkpoint_seconds,
        )
        try:
            task = make_task(runs[0].task, protocol=runs[0].protocol, args=runs[0].task_args)
            attempt = Attempt(runs, make=lambda: self._engine(runs, task), checkpoint=checkpoint)
            self._attempt = attempt
            self.tally.restored += attempt.num_steps_done / self._num_steps
            for _ in attempt.steps():
                self._tell(attempt)
                yield
            baselines = {"chance_accuracy": task.chance_accuracy, "floor_accuracy": task.floor_accuracy}
        except StorageError:
            raise  # the ledger's place, and no fault of these runs
        except (*_EXPECTED, *FAILURES) as error:
            if is_lasting(error):
                raise
            # As text: a log record that held the exception would hold the engine, and with it the memory.
            _logger.warning("training %d runs failed: %s", len(runs), "".join(traceback.format_exception(error)))
            checkpoint.remove()
            kind = "shared" if isinstance(error, _EXPECTED) else "memory" if is_out_of_memory(error) else "other"
            return _Failure(one_line(_reason(error)), kind)
        finally:
            self._attempt = None
        rows = [row | baselines for row in attempt.rows]
        yield from self._commit(runs, rows, attempt.started_at, attempt)
        checkpoint.remove()
        return None

    def _engine(self, runs: Sequence[RunSpec], task: Task) -> Engine:
        storage = self._ledger.storage
        different = {_body_of(run): run for run in runs}
        bodies = {body: self._origin.load_body(run, storage) for body, run in different.items()}
        return self._make_engine(
            runs,
            task=task,
            architecture=bodies[_body_of(runs[0])][0],
            bodies=[bodies[_body_of(run)][1] for run in runs],
            device=self._origin.device,
        )

    def _tell(self, attempt: Attempt) -> None:
        self.tally.fraction = min(1.0, (self._num_steps_done + attempt.num_steps_done) / self._num_steps)
        self.tally.best_valid_accuracy = max(self.tally.best_valid_accuracy, attempt.best_valid_accuracy)

    def _commit(
        self, runs: Sequence[RunSpec], rows: Sequence[Row], started_at: datetime, attempt: Attempt | None = None
    ) -> Iterator[None]:
        """Commit one row per run, pausing as long as the ledger's place fails."""
        columns = {run.run_id: run.as_columns() | self._origin.columns(run) for run in runs}
        shared = {"pack_size": len(runs), "started_at": started_at}
        curves, attention = ([], []) if attempt is None else (attempt.curves, attempt.attention)
        whole = [{**columns[row["run_id"]], **shared, **row} for row in rows]
        for pause in (*_COMMIT_PAUSES_SECONDS, None):
            try:
                self._ledger.append(whole, curves, self._pack.pack_id, attention)
                break
            except StorageError as error:
                if pause is None:
                    raise CommitFailed(one_line(error)) from None
                _logger.warning("not committed, will be tried again: %s", error)
            until = time.monotonic() + pause
            while time.monotonic() < until:
                time.sleep(min(1.0, pause))
                yield
        self._count(runs, rows)

    def _count(self, runs: Sequence[RunSpec], rows: Sequence[Row]) -> None:
        self._num_steps_done += sum(run.num_steps for run in runs)
        self.tally.ended += len(runs)
        self.tally.failed += sum(row["status"] == "failed" for row in rows)
        self.tally.diverged += sum(row["status"] == "diverged" for row in rows)


def _free_memory(device: torch.device) -> None:
    """Whatever the last attempt still holds, before a smaller one begins."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def failed_row(run: RunSpec, reason: str) -> dict[str, Any]:
    """The row of a run that could not be trained; every measurement is null."""
    error = one_line(reason)[:_MAX_ERROR_LENGTH]
    return {**run.as_columns(), "run_id": run.run_id, "status": "failed", "error": error, "ended_at": datetime.now(UTC)}


def _reason(error: BaseException) -> str:
    """The message alone where it was written for the user, otherwise with the kind of the error."""
    return str(error) if isinstance(error, (*_EXPECTED, ValueError)) else f"{type(error).__name__}: {error}"


def _body_of(run: RunSpec) -> tuple[str, int]:
    """What tells the bodies within one pack apart."""
    return run.init, run.body_seed
