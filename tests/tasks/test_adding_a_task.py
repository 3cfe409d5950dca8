"""The task that docs/adding_a_task.md ends with works as printed."""

import re
from pathlib import Path

import torch

DOCUMENT = Path(__file__).parents[2] / "docs" / "adding_a_task.md"
IMPORTS = """
from collections.abc import Mapping
import torch
from tasks import counter
from tasks.base import Batch, Layout, ProtocolName, Split
from tasks.finite import FiniteTask
from tasks.streams import Examples
"""


def test_the_documented_task_works():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    source = next(block for block in blocks if "class " in block)
    names = {}
    exec(IMPORTS + source, names)
    task = names["Majority"](length=5)
    batch = task.stream(0, torch.device("cpu")).draw(64)
    assert batch.inputs.shape == (64, 5)
    assert torch.equal(batch.targets[:, 0], batch.inputs.mode(dim=1).values)
    assert 0.4 < task.floor_accuracy < 0.6
