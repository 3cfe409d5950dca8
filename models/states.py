"""Tensors of one run under the model's names, and the group of each.

Names: "input.weight", "input.bias", "positions", "output.weight", "output.bias", and "body." before a body's own names.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from models import Group
from models.bodies import Architecture, position_key, position_table
from models.groups import assign

State = Mapping[str, torch.Tensor]
BODY = "body."


def parameter_groups(architecture: Architecture, state: State) -> dict[str, Group]:
    """Group of every parameter of a state, in the state's order; the body's by its architecture's patterns."""
    ends = {
        "input.weight": Group.INPUT,
        "input.bias": Group.INPUT,
        "output.weight": Group.OUTPUT,
        "output.bias": Group.OUTPUT,
        "positions": Group.POSITIONS,
    }
    body = assign([name.removeprefix(BODY) for name in state if name.startswith(BODY)], architecture.patterns)
    return {name: ends[name] if name in ends else body[name.removeprefix(BODY)] for name in state}


def run_state(body: State, ends: State, *, architecture: Architecture, num_tokens: int) -> dict[str, torch.Tensor]:
    """One run's tensors under the model's names.

    Args:
        body: the body's tensors under transformers' names, its position table included where it has one.
        ends: "input.weight", "output.weight", ... of this run.

    Raises:
        ValueError: the task has more tokens than the body has positions.
    """
    limit = architecture.max_tokens
    if limit is not None and num_tokens > limit:
        msg = f"the task has {num_tokens} tokens, body {architecture.body!r} has {limit} positions; shorten the task"
        raise ValueError(msg)
    table_key = position_key(architecture)
    state = {BODY + name: tensor for name, tensor in body.items() if name != table_key}
    table = position_table(architecture, body, num_tokens)
    return {**ends, **({} if table is None else {"positions": table}), **state}
