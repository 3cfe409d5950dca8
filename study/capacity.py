"""What a Ray cluster offers to one trial: a GPU or processors, and memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.errors import UserError, one_line
from study.packing import Device

_logger = logging.getLogger(__name__)
BLIND = (
    "Ray counts a GPU where torch sees none: install NVIDIA's driver and a torch with CUDA there "
    "(`study doctor` tells), or hide the GPU from Ray with CUDA_VISIBLE_DEVICES=''"
)
"""Training would go on, on one processor and unnoticed."""
_ANSWER_SECONDS = 120.0
"""A process that imports torch starts in less; a GPU that others use up may not answer at all."""


@dataclass(frozen=True)
class Capacity:
    """Of the nodes that there are now; those that come later are taken to be like them.

    Attributes:
        device: what trials train on: GPUs wherever there are any.
        num_cpus: all processors, of nodes with a GPU where trials train on those.
        node_cpus: those of the node among them that has most: no trial can have more.
        host_bytes: memory for each processor, on the node among them that has least of it.
        gpu_bytes: memory of the smallest GPU; None where there is none, or where it does not tell.
    """

    device: Device
    num_cpus: int
    node_cpus: int
    host_bytes: float
    gpu_bytes: float | None

    @property
    def trial_bytes(self) -> float | None:
        """Memory that a trial may fill."""
        return self.gpu_bytes if self.device == "cuda" else self.host_bytes


def capacity() -> Capacity:
    """Of the cluster that this process is connected to; it has a processor (`study.cluster.connected`).

    Raises:
        UserError: Ray counts GPUs where torch sees none, or none of them can be used.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    return capacity_of([node["Resources"] for node in nodes], _gpu_bytes(nodes))


def capacity_of(nodes: Sequence[Mapping[str, float]], gpu_bytes: Sequence[int | None]) -> Capacity:
    """From the resources of each node, as Ray counts them, and the memory of each node's GPUs.

    Raises:
        UserError: a GPU has no memory: torch does not see it.
    """
    if 0 in gpu_bytes:
        raise UserError(BLIND)
    known = [number for number in gpu_bytes if number is not None]
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    nodes = with_gpu or nodes
    parts = [node.get("memory", math.inf) / node["CPU"] for node in nodes if node.get("CPU")]
    return Capacity(
        device="cuda" if with_gpu else "cpu",
        num_cpus=int(sum(node.get("CPU", 0) for node in nodes)),
        node_cpus=int(max((node.get("CPU", 0) for node in nodes), default=0)),
        host_bytes=min(parts, default=math.inf),
        gpu_bytes=min(known) if known else None,
    )


def _gpu_bytes(nodes: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Memory of the GPUs of every node that has any; 0 where torch sees none, None without an answer in time."""
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, num_gpus=0.01)(_memory_of_this_gpu)
    with_gpu = [node["NodeID"] for node in nodes if node["Resources"].get("GPU", 0) >= 1]
    placed = [NodeAffinitySchedulingStrategy(node, soft=True) for node in with_gpu]
    asked = [ask.options(scheduling_strategy=strategy).remote() for strategy in placed]
    answered, silent = ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_SECONDS) if asked else ([], [])
    for answer in silent:
        ray.cancel(answer)
    memory: list[int | None] = [None for _ in silent]
    reason = ""
    for answer in answered:
        try:
            memory.append(ray.get(answer))
        except RayError as error:
            memory.append(None)
            reason = one_line(error.cause if isinstance(error, RayTaskError) else error)
            _logger.warning("a node with a GPU cannot say how much memory that has: %s", reason)
    if reason and all(number is None for number in memory):
        raise UserError(f"no node with a GPU can use it: {reason}")
    return memory


def _memory_of_this_gpu() -> int:
    import torch

    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0


def has_gpu(granted: float) -> bool:
    """Whether a trial that was granted so many GPUs trains on one.

    Raises:
        RuntimeError: it should, and cannot: this node joined after `capacity` asked all of them.
    """
    import torch

    if granted and not torch.cuda.is_available():
        raise RuntimeError(BLIND)
    return granted > 0
