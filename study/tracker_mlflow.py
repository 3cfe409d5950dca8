"""MLflow: one run per run in the experiment "fpt-study", found again by its tag; a half-written one is replaced."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from study.mirror import Row, config_of, name_of, points_of, results_of

mlflow = importlib.import_module("mlflow")  # no dependency of the project: type checkers do not find it

_EXPERIMENT = "fpt-study"
_TAG = "study_run_id"
_MAX_METRICS = 1000
"""Values that one request may carry (MLflow's REST API, "Log Batch")."""


class MlFlow:
    """Logs to a tracking URI: a server, or a local store such as sqlite:///mlflow.db."""

    errors: tuple[type[Exception], ...] = (mlflow.MlflowException,)

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: Any = None
        self._experiment = ""

    def known(self) -> set[str]:
        """See `Tracker`."""
        known = set()
        for run in list(self._runs()):  # deleting moves the pages
            if run.info.status == "FINISHED":
                known.add(run.data.tags[_TAG])
            else:
                self._connected().delete_run(run.info.run_id)
        return known

    def log(self, run: Row, curve: Sequence[Row]) -> None:
        """See `Tracker`."""
        client = self._connected()
        ended = round(run["ended_at"].timestamp() * 1000)
        tags = {_TAG: run["run_id"], "status": run["status"]}
        made = client.create_run(self._experiment, run_name=name_of(run), tags=tags)
        metrics = [
            mlflow.entities.Metric(name, value, ended, step)
            for step, values in points_of(curve).items()
            for name, value in values.items()
        ]
        metrics += [mlflow.entities.Metric(name, value, ended, 0) for name, value in results_of(run).items()]
        params = [mlflow.entities.Param(name, str(value)) for name, value in config_of(run).items()]
        client.log_batch(made.info.run_id, params=params)
        for first in range(0, len(metrics), _MAX_METRICS):
            client.log_batch(made.info.run_id, metrics=metrics[first : first + _MAX_METRICS])
        client.set_terminated(made.info.run_id, end_time=ended)

    def _connected(self) -> Any:
        if self._client is None:
            client = mlflow.MlflowClient(tracking_uri=self._uri)
            found = client.get_experiment_by_name(_EXPERIMENT)
            self._experiment = found.experiment_id if found else client.create_experiment(_EXPERIMENT)
            self._client = client
        return self._client

    def _runs(self) -> Iterator[Any]:
        token = None
        while True:
            client = self._connected()
            page = client.search_runs([self._experiment], f"tags.{_TAG} LIKE '%'", page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def open_tracker(place: str) -> MlFlow:
    """The tracker behind a tracking URI."""
    return MlFlow(place)
