"""What is killed in benchmarks/faults.py: a small cluster in processes of its own, and the driver that uses it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import descendants


class Machines:
    """A cluster in processes of its own: a head without processors and two nodes with one each.

    Attributes:
        num_added: nodes that joined on the way.
        used: those of them that had a trial when somebody looked.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes = [self.add(), self.add()]
        self.num_added = 0
        self.used: set[str] = set()

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1)

    def replace_second(self) -> None:
        """SIGKILL for everything on the second node, its raylet first; then another one joins."""
        self.cluster.remove_node(self.nodes[1], allow_graceful=False)
        self.nodes[1] = self.add()
        self.num_added += 1

    def note_use(self) -> None:
        """Remember whether the second node, if it joined on the way, has a trial."""
        if self.num_added and next(self.workers(self.nodes[1]), None) is not None:
            self.used.add(self.nodes[1].unique_id)

    def workers(self, *nodes: Any) -> Iterator[int]:
        """Process ids of trials that run on these nodes, by default on all of them."""
        for node in nodes or self.nodes:
            (raylet,) = node.all_processes["raylet"]
            for pid in descendants(raylet.process.pid):
                name = Path(f"/proc/{pid}/cmdline").read_bytes() if Path(f"/proc/{pid}").exists() else b""
                if name.startswith(b"ray::") and b"Trial" in name:
                    yield pid

    def shutdown(self) -> None:
        self.cluster.shutdown()


class Driver:
    """A command that is started again when it was killed."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self.num_starts = 0
        self.start()

    def start(self) -> None:
        self.num_starts += 1
        self.process = subprocess.Popen(self._command, start_new_session=True)

    def has_ended(self) -> bool:
        """Whether it ended well; a failure that nobody caused is one of the study."""
        code = self.process.poll()
        assert code in (None, 0), f"the driver ended with {code}"
        return code == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.start()
