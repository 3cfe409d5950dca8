"""Connecting to a cluster that is not what one hopes for: absent, or with its head alone so far."""

from typing import Any

import pytest
import ray
from ray.autoscaler import sdk

from study import cluster
from study.errors import UserError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Ray without a runtime; what it was asked for."""
    asked: list[Any] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **given: asked.append(given["address"]))
    monkeypatch.setattr(ray, "shutdown", lambda: asked.append("shutdown"))
    monkeypatch.setattr(sdk, "request_resources", lambda **given: asked.append(given))
    return asked


def test_a_cluster_without_workers_is_asked_for_one_and_waited_for(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = iter([{"memory": 1e9}, {}, {}, {"CPU": 4.0, "GPU": 1.0}])
    monkeypatch.setattr(ray, "cluster_resources", lambda: next(resources))
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: calls.append("waits"))
    with cluster.connected("10.0.0.1:6379"):
        assert calls == ["10.0.0.1:6379", {"num_cpus": 1}, "waits", "waits", {"bundles": []}]
    assert calls[-1] == "shutdown"


def test_a_worker_that_never_comes_is_given_up(calls: list[Any], monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """The head waits in the background and costs money meanwhile."""
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"memory": 1e9})
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(cluster.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    with pytest.raises(UserError, match=r"no worker came within an hour; .*`ray status`"), cluster.connected("auto"):
        pass
    assert calls == ["auto", {"num_cpus": 1}, "shutdown"]
    reminders = [record for record in caplog.messages if record.startswith("still waiting")]
    assert 1 < len(reminders) < 8


def test_a_cluster_with_workers_is_asked_for_nothing(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 1.0})
    with cluster.connected("auto"):
        assert calls == ["auto"]


@pytest.mark.parametrize("error", [ConnectionError("Could not find any running Ray instance"), ValueError("no port")])
def test_an_absent_cluster_is_one_line(error: Exception, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**given: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(UserError, match="no Ray cluster at 'auto'"), cluster.connected("auto"):
        pass
