"""`study run --log-to`: finished runs and their curves, copied from the ledger to an experiment tracker.

The ledger stays the truth: the driver looks into it now and then, and once more at the end. So a run is copied once
whoever trained it, a grid that is full already can be copied by repeating its command, and a tracker that fails costs
one warning.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from study.errors import UserError, one_line, unknown_name
from study.ledger import Ledger
from study.ledger_schema import FINAL, SPEC_COLUMNS
from study.spec import RunSpec

_EVERY_SECONDS = 60.0
_SHARE = 0.05
"""Of the time, at most this goes into looking and copying while runs are trained."""
_PATIENCE_SECONDS = 2.0
_KINDS = {
    "tensorboard": ("study.tracker_tensorboard", "tensorboardX", "a folder"),
    "wandb": ("study.tracker_wandb", "wandb", "a project"),
    "mlflow": ("study.tracker_mlflow", "mlflow", "a tracking URI"),
}
"""By kind: our adapter, the package that it needs, what stands after the colon."""
_RESULTS = (
    *(f"{split}_{name}" for split in ("valid", "test", "train") for name in ("accuracy", "loss")),
    *("best_valid_accuracy", "chance_accuracy", "floor_accuracy", "selected_step", "num_steps_done"),
    *("num_params_total", "num_params_trained", "train_flops", "wall_seconds"),
)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """Where runs are copied to: "tensorboard", "wandb" or "mlflow", and its folder, project or tracking URI."""

    kind: str
    place: str


class Tracker(Protocol):
    """An adapter. `errors` are what its library raises when it fails, other than OSError, RuntimeError, ValueError."""

    errors: tuple[type[Exception], ...]

    def known(self) -> set[str]:
        """Ids of the runs that it holds completely."""
        ...

    def log(self, run: Row, curve: Sequence[Row]) -> None:
        """Take in one run.

        Args:
            run: its row of `ledger_schema.RUNS`.
            curve: its rows of `ledger_schema.CURVES`, by step.
        """
        ...


def parse_target(text: str) -> Target:
    """The target that `--log-to` names; its package is looked for, but not imported.

    Raises:
        UserError: an unknown kind, nothing after the colon, or a package that is not installed.
    """
    kind, colon, place = text.partition(":")
    if kind not in _KINDS:
        raise unknown_name("tracker", kind, _KINDS)
    _, package, what = _KINDS[kind]
    if not colon or not place.strip():
        raise UserError(f"--log-to {kind} needs {what}: {kind}:{what.split()[-1].upper()}")
    if kind == "tensorboard" and "://" in place:
        raise UserError(f"--log-to tensorboard needs a local folder, not '{one_line(place)}'")
    if importlib.util.find_spec(package) is None:
        raise UserError(f"--log-to {kind} needs the package {package}: pip install {package}")
    return Target(kind, place)


def open_tracker(target: Target) -> Tracker:
    """The adapter of a target; imports its package."""
    return importlib.import_module(_KINDS[target.kind][0]).open_tracker(target.place)


@contextmanager
def mirrored(target: Target | None, out: str, runs: Sequence[RunSpec]) -> Iterator[None]:
    """Copy a grid's runs during the block as they end, and the rest after it; None copies nothing."""
    if target is None:
        yield
        return
    mirror = Mirror(target, out, {run.run_id for run in runs})
    ended = threading.Event()
    thread = threading.Thread(target=mirror.follow, args=(ended,), name="mirror", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        thread.join(_PATIENCE_SECONDS)  # what it was copying it copies another time
        raise
    ended.set()
    thread.join()
    mirror.sync()


class Mirror:
    """Copies runs of one grid; every failure of the tracker is told once and tried again later.

    Args:
        target: where to.
        out: the ledger's place; it need not exist yet.
        run_ids: of the grid.
    """

    def __init__(self, target: Target, out: str, run_ids: set[str]) -> None:
        self._target, self._out, self._run_ids = target, out, run_ids
        self._ledger: Ledger | None = None
        self._tracker: Tracker | None = None
        self._copied: set[str] = set()
        self._has_warned = False

    def follow(self, ended: threading.Event) -> None:
        """Copy now and then until the event is set."""
        pause = _EVERY_SECONDS
        while not ended.wait(pause):
            started = time.monotonic()
            self.sync(ended)
            pause = max(_EVERY_SECONDS, (time.monotonic() - started) / _SHARE)

    def sync(self, ended: threading.Event | None = None) -> int:
        """Copy the results that the tracker does not hold yet, until the event is set; returns how many were copied."""
        errors: tuple[type[Exception], ...] = (ImportError, OSError, RuntimeError, ValueError)
        num_copied = 0
        try:
            new = self._new()
            if new:
                self._tracker = self._tracker or open_tracker(self._target)
                errors = (*errors, *self._tracker.errors)
                self._copied |= self._tracker.known()
            for run, curve in self._read(new - self._copied):
                if ended is not None and ended.is_set():
                    break
                assert self._tracker is not None
                self._tracker.log(run, curve)
                self._copied.add(run["run_id"])
                num_copied += 1
        except errors as error:
            if not self._has_warned:
                self._has_warned = True
                reason = f"{type(error).__name__}: {one_line(error)}"
                warnings.warn(f"--log-to {self._target.kind} failed, training goes on: {reason}", stacklevel=2)
        return num_copied

    def _new(self) -> set[str]:
        """Results of the grid that were not copied by this process."""
        self._ledger = self._ledger or Ledger(self._out)
        finished = self._ledger.finished()
        return {run_id for run_id in self._run_ids if finished.get(run_id) in FINAL} - self._copied

    def _read(self, run_ids: set[str]) -> Iterator[tuple[Row, list[Row]]]:
        """Rows of these runs, each with its curve."""
        if not run_ids:
            return
        assert self._ledger is not None
        wanted = pa.array(sorted(run_ids), pa.string())
        tables = self._ledger.runs(), self._ledger.curves()
        runs, curves = (table.filter(pc.is_in(table["run_id"], value_set=wanted)) for table in tables)
        of_run: dict[str, list[Row]] = {}
        for point in curves.to_pylist():
            of_run.setdefault(point["run_id"], []).append(point)
        for run in runs.to_pylist():
            yield run, of_run.get(run["run_id"], [])


def name_of(run: Row) -> str:
    """A name for people, safe as a folder's; it ends with the run id."""
    words = (run["task"], run["body"], run["init"], run["train_set"], f"seed{run['seed']}", run["run_id"])
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", "_".join(str(word) for word in words))


def config_of(run: Row) -> dict[str, Any]:
    """What was asked for: the fields of its specification."""
    return {column.name: run[column.name] for column in SPEC_COLUMNS}


def results_of(run: Row) -> dict[str, float]:
    """The numbers that it ended with; those that are unknown are left out."""
    return {name: run[name] for name in _RESULTS if run[name] is not None}


def points_of(curve: Sequence[Row]) -> dict[int, dict[str, float]]:
    """By step, ascending: losses and accuracies as "valid/loss", "train/accuracy", ..., the learning rate, the pace."""
    points: dict[int, dict[str, float]] = {}
    for row in sorted(curve, key=lambda row: row["step"]):
        values = {f"{row['split']}/{name}": row[name] for name in ("loss", "accuracy")}
        values |= {name: row[name] for name in ("lr", "examples_per_second")}
        known = {name: value for name, value in values.items() if value is not None}
        points.setdefault(row["step"], {}).update(known)
    return points
