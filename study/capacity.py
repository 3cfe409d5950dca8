"""What a Ray cluster offers to one trial: a GPU or processors, and memory."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.errors import UserError
from study.packing import Device

_WAIT_SECONDS = 15 * 60
"""An autoscaler starts a machine in less; longer than that there is none to be had, or nobody who starts one."""
_LOOK_SECONDS = 2.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capacity:
    """Of the nodes that there are now; those that come later are taken to be like them.

    Attributes:
        device: what trials train on: GPUs wherever there are any.
        num_cpus: all processors.
        host_bytes: memory for each processor, on the node that has least of it.
        gpu_bytes: memory of the smallest GPU; None where there is none, or where it does not tell.
    """

    device: Device
    num_cpus: int
    host_bytes: float
    gpu_bytes: float | None

    @property
    def trial_bytes(self) -> float | None:
        """Memory that a trial may fill."""
        return self.gpu_bytes if self.device == "cuda" else self.host_bytes


def capacity() -> Capacity:
    """Of the cluster that this process is connected to; waits for its first worker node where there is none yet.

    Raises:
        UserError: none came.
    """
    import ray

    _wait_for_processors()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return capacity_of([node["Resources"] for node in nodes], _gpu_bytes(nodes))


def capacity_of(nodes: Sequence[Mapping[str, float]], gpu_bytes: Sequence[int | None]) -> Capacity:
    """From the resources of each node, as Ray counts them, and the memory of each node's GPUs."""
    known = [number for number in gpu_bytes if number is not None]
    return Capacity(
        device="cuda" if any(node.get("GPU", 0) >= 1 for node in nodes) else "cpu",
        num_cpus=int(sum(node.get("CPU", 0) for node in nodes)),
        host_bytes=min(node.get("memory", math.inf) / node["CPU"] for node in nodes if node.get("CPU", 0) >= 1),
        gpu_bytes=min(known) if known else None,
    )


def _wait_for_processors() -> None:
    import ray
    from ray.autoscaler.sdk import request_resources

    if ray.cluster_resources().get("CPU", 0) >= 1:
        return
    _logger.warning("the cluster has no worker node yet: waiting up to %d min for the first", _WAIT_SECONDS // 60)
    request_resources(num_cpus=1)
    try:
        until = time.monotonic() + _WAIT_SECONDS
        while ray.cluster_resources().get("CPU", 0) < 1:
            if time.monotonic() > until:
                raise UserError("no worker node came; look at the cluster's autoscaler, or start `ray start` on one")
            time.sleep(_LOOK_SECONDS)
    finally:
        request_resources(num_cpus=0)


def _gpu_bytes(nodes: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Memory of the GPUs of every node that has any, as a process there sees it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, num_gpus=0.01)(_memory_of_this_gpu)
    placed = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=True) for node in nodes if _has_gpu(node)]
    return ray.get([ask.options(scheduling_strategy=strategy).remote() for strategy in placed])


def _has_gpu(node: Mapping[str, Any]) -> bool:
    return node["Resources"].get("GPU", 0) >= 1


def _memory_of_this_gpu() -> int | None:
    import torch

    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
