"""One attempt to train runs together: from their specifications, or from a checkpoint, to rows and curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from study.checkpoints import Checkpoint
from study.first_attention import Attended
from study.measurements import Evaluated, Measurement
from study.spec import RunSpec
from study.state_file import BAD_STATE

Row = dict[str, Any]


class Engine(Protocol):
    """What trains: `study.training.Training`."""

    step: int

    def rounds(self) -> Iterator[list[Measurement]]:
        """Measurements as they come; a list may be empty."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, between two lists from the second on."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from such a state."""
        ...


MakeEngine = Callable[..., Engine]


class Attempt:
    """Trains runs and remembers what was measured.

    Args:
        runs: to be trained together.
        make: makes the engine.
        checkpoint: where the state is kept.

    Attributes:
        curves: evaluations so far, as rows of the ledger's curves.
        attention: where runs that ended looked, as rows of the ledger's attention.
        rows: runs that ended, as rows of the ledger, without what all of them share.
        started_at: when the first worker began with these runs.
    """

    def __init__(self, runs: Sequence[RunSpec], *, make: Callable[[], Engine], checkpoint: Checkpoint) -> None:
        self._specs = {run.run_id: run for run in runs}
        self._make, self._checkpoint = make, checkpoint
        self.curves: list[Row] = []
        self.attention: list[Row] = []
        self.rows: list[Row] = []
        self.started_at = datetime.now(UTC)
        self._engine = make()
        self._can_save = False
        self._restore()

    @property
    def num_steps_done(self) -> int:
        """Updates so far, over all runs; a run that diverged has made all of its own."""
        return sum(
            run.num_steps if run_id in self._ended else min(self._engine.step, run.num_steps)
            for run_id, run in self._specs.items()
        )

    @property
    def _ended(self) -> set[str]:
        return {row["run_id"] for row in self.rows}

    @property
    def best_valid_accuracy(self) -> float:
        """Of the runs that ended; 0 while there is none."""
        return max((row["best_valid_accuracy"] or 0.0 for row in self.rows), default=0.0)

    def steps(self) -> Iterator[None]:
        """Train to the end, pausing every few seconds and at each evaluation."""
        for measurements in self._engine.rounds():
            for measurement in measurements:
                self._take(measurement)
            # The state of step 0 is quickly made anew, and that of the end is never continued.
            self._can_save = self._engine.step > 0 and len(self.rows) < len(self._specs)
            if self._can_save and self._checkpoint.is_due:
                self.save()
            yield
            self._can_save = False
        assert len(self.rows) == len(self._specs), "training ended before its runs did"

    def save(self, least_seconds: float = 0.0) -> None:
        """Write a checkpoint, if this is a moment for one and at least so many seconds of work would be lost."""
        if self._can_save and self._checkpoint.age_seconds >= least_seconds:
            rows = [_as_plain(row) for row in self.rows]
            told = {"curves": self.curves, "attention": self.attention, "rows": rows}
            started_at = self.started_at.isoformat()
            self._checkpoint.save({"engine": self._engine.state_dict(), "started_at": started_at, **told})

    def _take(self, measurement: Measurement) -> None:
        if isinstance(measurement, Evaluated):
            self.curves.append(dict(vars(measurement)))
        elif isinstance(measurement, Attended):
            self.attention.append(dict(vars(measurement)))
        else:
            self.rows.append({**vars(measurement), "ended_at": datetime.now(UTC)})

    def _restore(self) -> None:
        state = self._checkpoint.load()
        if state is None:
            return
        try:
            self._engine.load_state_dict(state["engine"])
            # States of before attention was measured have none; their runs go on all the same.
            curves, attention = state["curves"], state.get("attention", [])
            rows = [{**row, "ended_at": datetime.fromisoformat(row["ended_at"])} for row in state["rows"]]
            started_at = datetime.fromisoformat(state["started_at"])
        except BAD_STATE as error:
            self._checkpoint.set_aside(f"{type(error).__name__}: {error}")
            self._engine = self._make()  # the old one may hold half of the state
            return
        self.curves, self.attention, self.rows, self.started_at = curves, attention, rows, started_at


def _as_plain(row: Mapping[str, Any]) -> Row:
    return {**row, "ended_at": row["ended_at"].isoformat()}
