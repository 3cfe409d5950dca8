"""The adapters of W&B and MLflow, against stand-ins with as much of their interfaces as is used."""

import sys
import threading
import time
import types
from typing import Any

import pytest

from study import mirror
from study.ledger import Ledger
from study.mirror import Mirror, Target


def append(ledger: Ledger, made: Any, seed: int) -> None:
    ledger.append([made.row(seed, test_accuracy=0.75)], [made.curve(seed)], "pack")


def mirror_of(ledger: Ledger, made: Any, num_runs: int, kind: str, place: str) -> Mirror:
    return Mirror(Target(kind, place), ledger.uri, {made.run_id(seed) for seed in range(num_runs)})


class FakeWandb(types.ModuleType):
    """As much of wandb as the adapter uses; a run that is not finished may be resumed."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.errors = types.SimpleNamespace(Error=type("Error", (Exception,), {}))
        self.stored: dict[str, types.SimpleNamespace] = {}
        self.cut_short = False

    def Settings(self, **settings: Any) -> dict:
        return settings

    def Api(self) -> Any:
        def listed(path: str) -> list:
            if not self.stored:
                raise ValueError(f"Could not find project {path}")
            return list(self.stored.values())

        return types.SimpleNamespace(runs=listed)

    def init(self, **given: Any) -> Any:
        run = types.SimpleNamespace(**given, state="running", history={}, summary={})
        run.log = lambda values, step: run.history.setdefault(step, {}).update(values)
        self.stored[given["id"]] = run

        def finish() -> None:
            if self.cut_short:
                raise self.errors.Error("no network")
            run.state = "finished"

        run.finish = finish
        return run


def test_wandb_gets_our_ids_once(ledger: Ledger, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delitem(sys.modules, "study.tracker_wandb", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    append(ledger, made, 0)
    fake.cut_short = True
    copier = mirror_of(ledger, made, 2, "wandb", "team/project")
    with pytest.warns(UserWarning, match="Error: no network"):
        copier.sync()
    fake.cut_short = False
    assert copier.sync() == 1
    append(ledger, made, 1)
    assert mirror_of(ledger, made, 2, "wandb", "team/project").sync() == 1
    assert set(fake.stored) == {made.run_id(0), made.run_id(1)}
    run = fake.stored[made.run_id(0)]
    assert (run.entity, run.project, run.resume, run.group) == ("team", "project", "allow", "bit-xor")
    assert run.history[1]["valid/loss"] == 0.5 and run.summary["test_accuracy"] == 0.75
    assert run.config["seed"] == 0 and run.config["task"] == "bit-xor"


class FakeMlflow(types.ModuleType):
    """As much of mlflow as the adapter uses, with pages of one run."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.MlflowException = type("MlflowException", (Exception,), {})
        self.entities = types.SimpleNamespace(Metric=lambda *values: values, Param=lambda *values: values)
        self.stored: dict[str, types.SimpleNamespace] = {}
        self.experiment: Any = None

    def MlflowClient(self, tracking_uri: str) -> Any:
        assert tracking_uri == "sqlite:///x.db"
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return self.experiment

    def create_experiment(self, name: str) -> str:
        self.experiment = types.SimpleNamespace(experiment_id="7", name=name)
        return "7"

    def create_run(self, experiment: str, *, run_name: str, tags: dict) -> Any:
        assert experiment == "7"
        info = types.SimpleNamespace(run_id=f"m{len(self.stored)}", status="RUNNING")
        run = types.SimpleNamespace(info=info, data=types.SimpleNamespace(tags=tags), params=[], metrics=[])
        self.stored[info.run_id] = run
        return run

    def log_batch(self, run_id: str, params: Any = (), metrics: Any = ()) -> None:
        assert len(metrics) <= 1000
        self.stored[run_id].params += params
        self.stored[run_id].metrics += metrics

    def set_terminated(self, run_id: str, end_time: int) -> None:
        self.stored[run_id].info.status = "FINISHED"

    def delete_run(self, run_id: str) -> None:
        del self.stored[run_id]

    def search_runs(self, experiments: list[str], filter_string: str, page_token: str | None) -> Any:
        class Page(list):
            token = None

        names = sorted(self.stored)
        first = int(page_token or 0)
        page = Page(self.stored[name] for name in names[first : first + 1])
        page.token = str(first + 1) if first + 1 < len(names) else None
        return page


def test_mlflow_finds_its_runs_again(ledger: Ledger, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.delitem(sys.modules, "study.tracker_mlflow", raising=False)
    for seed in range(2):
        append(ledger, made, seed)
    assert mirror_of(ledger, made, 1, "mlflow", "sqlite:///x.db").sync() == 1
    fake.create_run("7", run_name="cut short", tags={"study_run_id": made.run_id(1)})
    assert mirror_of(ledger, made, 2, "mlflow", "sqlite:///x.db").sync() == 1
    assert mirror_of(ledger, made, 2, "mlflow", "sqlite:///x.db").sync() == 0
    by_id = {run.data.tags["study_run_id"]: run for run in fake.stored.values()}
    assert set(by_id) == {made.run_id(0), made.run_id(1)} and len(fake.stored) == 2
    run = by_id[made.run_id(0)]
    stamp = round(made.START.timestamp() * 1000)
    assert ("valid/loss", 0.5, stamp, 1) in run.metrics and ("test_accuracy", 0.75, stamp, 0) in run.metrics
    assert ("task", "bit-xor") in run.params and run.info.status == "FINISHED"


def test_an_interrupted_launch_does_not_wait_for_a_slow_tracker(
    ledger: Ledger, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not copied is copied another time."""
    logged: list[str] = []
    has_begun = threading.Event()

    class Slow:
        errors = ()

        def known(self) -> set[str]:
            return set()

        def log(self, run: dict, curve: list) -> None:
            has_begun.set()
            time.sleep(0.2)
            logged.append(run["run_id"])

    monkeypatch.setattr(mirror, "_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(mirror, "open_tracker", lambda target: Slow())
    for seed in range(6):
        append(ledger, made, seed)
    runs = [made.spec(seed) for seed in range(6)]
    with pytest.raises(KeyboardInterrupt), mirror.mirrored(Target("wandb", "x"), ledger.uri, runs):
        assert has_begun.wait(20)
        raise KeyboardInterrupt
    assert len(logged) < 6
    with mirror.mirrored(Target("wandb", "x"), ledger.uri, runs):
        pass
    assert set(logged) == {run.run_id for run in runs}
