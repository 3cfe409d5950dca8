"""One pack from its specifications to committed rows: the work of a trial, without Ray.

Whatever goes wrong with a run becomes a row of the ledger that says so; a run that ended before is left alone, so that
an execution may be repeated after any crash.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch

from models.bodies import Architecture
from models.weights import OfflineError
from study.bodies import BodySource, MissingBody, load_body
from study.errors import one_line
from study.ledger import Ledger
from study.ledger_schema import FINAL
from study.measurements import Evaluated, Measurement
from study.packing import Pack
from study.provenance import device_name, versions
from study.spec import RunSpec, canonical_json
from study.training import train
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

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """What a row says about the machine and the code, and where its bodies lie.

    Attributes:
        revision: git revision of the code that was launched.
        device: where to train.
        sources: run id -> body of our own that the run needs.
        body_errors: body key -> why that body could not be made.
    """

    revision: str | None
    device: torch.device
    sources: Mapping[str, BodySource] = field(default_factory=dict)
    body_errors: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Tally:
    """How far a pack is; updated in place as its measurements come.

    Attributes:
        total: its runs, those included that had ended before.
        ended, failed, diverged: runs that ended, and how many of them badly.
        fraction: share of the steps that are done.
        best_valid_accuracy: of the runs that ended in this execution, 0 while there is none.
        error: why the last run failed that did; empty while none has.
    """

    total: int
    ended: int = 0
    failed: int = 0
    diverged: int = 0
    fraction: float = 0.0
    best_valid_accuracy: float = 0.0
    error: str = ""


Train = Callable[..., Iterator[Measurement]]
_Rows = list[dict[str, Any]]


class Execution:
    """Trains one pack and commits its rows.

    Args:
        pack: what to train.
        ledger: where its rows go.
        origin: machine and code.
        train: the training engine.
    """

    def __init__(self, pack: Pack, *, ledger: Ledger, origin: Origin, train: Train = train) -> None:
        self._pack, self._ledger, self._origin, self._train = pack, ledger, origin, train
        self.tally = Tally(total=len(pack.runs))

    def steps(self) -> Iterator[None]:
        """Work, pausing after each measurement; whoever iterates may look at `tally` and report."""
        finished = self._ledger.finished()
        todo = [run for run in self._pack.runs if finished.get(run.run_id) not in FINAL]
        self.tally.ended = len(self._pack.runs) - len(todo)
        if todo:
            yield from self._attempt(todo)
        self.tally.fraction = 1.0

    def _attempt(self, runs: Sequence[RunSpec]) -> Iterator[None]:
        """Train runs together; where that fails for no shared reason, each alone, so that only the bad one fails."""
        started_at = datetime.now(UTC)
        try:
            rows, curves = yield from self._measured(runs)
        except (*_EXPECTED, *FAILURES) as error:
            if len(runs) > 1 and not isinstance(error, _EXPECTED):
                _logger.warning("pack %s failed (%s); its runs go on alone", self._pack.pack_id, error)
                for run in runs:
                    yield from self._attempt([run])
                return
            _logger.warning("run %s failed", runs[0].run_id, exc_info=error)
            rows, curves = [failed_row(run, _reason(error)) for run in runs], []
            self.tally.error = rows[0]["error"]
        self._commit(runs, rows, curves, started_at)

    def _measured(self, runs: Sequence[RunSpec]) -> Generator[None, None, tuple[_Rows, _Rows]]:
        """Rows and curves of runs that trained to their end."""
        task = make_task(runs[0].task, protocol=runs[0].protocol, args=runs[0].task_args)
        bodies = {_body_of(run): self._load(run) for run in runs}
        measurements = self._train(
            runs,
            task=task,
            architecture=bodies[_body_of(runs[0])][0],
            bodies=[bodies[_body_of(run)][1] for run in runs],
            device=self._origin.device,
        )
        specs = {run.run_id: run for run in runs}
        rows: _Rows = []
        curves: _Rows = []
        num_steps = sum(run.num_steps for run in self._pack.runs)
        before, done = self.tally.fraction, dict.fromkeys(specs, 0)
        for measurement in measurements:
            if isinstance(measurement, Evaluated):
                curves.append(dataclasses.asdict(measurement))
                done[measurement.run_id] = measurement.step
            else:
                ended_at = datetime.now(UTC)
                spec = specs[measurement.run_id]
                rows.append({**spec.as_columns(), **dataclasses.asdict(measurement), "ended_at": ended_at})
                done[measurement.run_id] = spec.num_steps
                self.tally.best_valid_accuracy = max(
                    self.tally.best_valid_accuracy, measurement.best_valid_accuracy or 0.0
                )
            self.tally.fraction = min(1.0, before + sum(done.values()) / num_steps)
            yield
        assert len(rows) == len(runs), "training ended before its runs did"
        baselines = {"chance_accuracy": task.chance_accuracy, "floor_accuracy": task.floor_accuracy}
        return [row | baselines for row in rows], curves

    def _load(self, run: RunSpec) -> tuple[Architecture, dict[str, torch.Tensor]]:
        source = self._origin.sources.get(run.run_id)
        if source is not None and source.key in self._origin.body_errors:
            raise MissingBody(f"the {source.name} could not be made: {self._origin.body_errors[source.key]}")
        return load_body(run, self._ledger.storage, source)

    def _commit(self, runs: Sequence[RunSpec], rows: _Rows, curves: _Rows, started_at: datetime) -> None:
        shared = {
            "device": device_name(self._origin.device),
            "pack_size": len(runs),
            "git_revision": self._origin.revision,
            "versions": canonical_json(versions()),
            "started_at": started_at,
        }
        sources = self._origin.sources
        keys = {run.run_id: sources[run.run_id].key if run.run_id in sources else None for run in runs}
        self._ledger.append(
            [{**shared, **row, "body_key": keys[row["run_id"]]} for row in rows], curves, self._pack.pack_id
        )
        self.tally.ended += len(rows)
        self.tally.failed += sum(row["status"] == "failed" for row in rows)
        self.tally.diverged += sum(row["status"] == "diverged" for row in rows)


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
