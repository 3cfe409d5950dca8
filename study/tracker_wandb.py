"""Weights & Biases: one run per run, under our own id; mode, host and key are wandb's own settings."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from study.mirror import Row, config_of, name_of, points_of, results_of

wandb = importlib.import_module("wandb")  # no dependency of the project: type checkers do not find it


class WeightsAndBiases:
    """Logs to a project, "name" or "entity/name"."""

    errors: tuple[type[Exception], ...] = (wandb.errors.Error,)

    def __init__(self, project: str) -> None:
        self._entity, _, self._project = project.rpartition("/")

    def known(self) -> set[str]:
        """See `Tracker`. Without network: what lies in wandb's own folder and waits for `wandb sync`."""
        if os.environ.get("WANDB_MODE") in ("offline", "dryrun"):
            folder = Path(os.environ.get("WANDB_DIR", ".")) / "wandb"
            return {path.name.rpartition("-")[2] for path in folder.glob("offline-run-*-*")}
        path = f"{self._entity}/{self._project}" if self._entity else self._project
        try:
            return {run.id for run in wandb.Api().runs(path) if run.state == "finished"}
        except ValueError:  # what the API raises for a project that is made by its first run
            return set()

    def log(self, run: Row, curve: Sequence[Row]) -> None:
        """See `Tracker`."""
        logged = wandb.init(
            entity=self._entity or None,
            project=self._project,
            id=run["run_id"],
            name=name_of(run),
            group=run["task"],
            config=config_of(run),
            resume="allow",  # the rest of one that was cut short
            settings=wandb.Settings(silent=True, console="off"),
        )
        for step, values in points_of(curve).items():
            logged.log(values, step=step)
        logged.summary.update({**results_of(run), "status": run["status"]})
        logged.finish()


def open_tracker(place: str) -> WeightsAndBiases:
    """The tracker of a project."""
    return WeightsAndBiases(place)
