"""Where runs look, before and after training: first-layer attention on a task's probe, as rows of the ledger.

Nothing here draws a random number or changes a parameter, so a run's results are the same with it and without.

Shapes: K runs, N examples, H heads, R tokens that are read, T tokens, P trained parameters of one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from models.bodies import Architecture
from models.fpt import PackedFPT
from study.spec import RunSpec
from tasks.base import Probe, Task

State = Literal["untrained", "selected"]
_EXAMPLES_PER_FORWARD = 8
"""Few, because their T x T scores are all there at once."""


@dataclass(frozen=True)
class Attended:
    """One row of the ledger's attention: how one token attends; places and examples are those of `tasks.base.Probe`.

    Attributes:
        run_id: which run.
        state: before its first update, or at its selected step.
        query: position of the token.
        num_examples: N.
        weights: [T] attention to each place, mean over examples and heads.
        relevant: places that matter to this token.
        uniform: sum of the weights there if every token that can be seen had the same.
        head_masses: [H] sum of the weights there in each head, mean over examples.
    """

    run_id: str
    state: State
    query: int
    num_examples: int
    weights: list[float]
    relevant: list[int]
    uniform: float
    head_masses: list[float]


class FirstAttention:
    """Asks the runs of one pack where they look; says nothing where the task has no probe or the body never attends.

    Args:
        model: the runs, before their first update.
        task: theirs.
        architecture: of their body.
        runs: theirs, in the order of the model.
    """

    def __init__(self, model: PackedFPT, *, task: Task, architecture: Architecture, runs: Sequence[RunSpec]) -> None:
        self._model = model
        self._probe = task.probe(model.device) if architecture.num_heads else None
        self._untrained: dict[str, list[Attended]] = {}
        if self._probe is not None:
            self._uniform = _uniform(self._probe, architecture)
            rows = range(len(runs))
            self._untrained = self._ask(self._probe, runs, model.matrix.detach(), rows, "untrained")

    def rows(self, runs: Sequence[RunSpec], matrix: torch.Tensor, rows: Sequence[int]) -> list[Attended]:
        """Of runs that ended, before training and at their selected steps.

        Args:
            runs: they.
            matrix: [K, P] their selected parameters.
            rows: which of the model's runs they are now.
        """
        if self._probe is None or not runs:
            return []
        selected = self._ask(self._probe, runs, matrix, rows, "selected")
        return [row for run in runs for row in (*self._untrained[run.run_id], *selected[run.run_id])]

    def _ask(
        self, probe: Probe, runs: Sequence[RunSpec], matrix: torch.Tensor, rows: Sequence[int], state: State
    ) -> dict[str, list[Attended]]:
        with self._model.evaluating(matrix, rows):
            weights, masses = _measured(self._model, probe, num_runs=len(runs))
        relevant = [places.nonzero().flatten().tolist() for places in probe.relevant]
        num_examples, num_tokens = probe.order.shape
        queries = range(num_tokens - len(relevant), num_tokens)
        return {
            run.run_id: [
                Attended(run.run_id, state, query, num_examples, to, relevant[i], self._uniform[i], heads)
                for i, (query, to, heads) in enumerate(zip(queries, weights[k], masses[k], strict=True))
            ]
            for k, run in enumerate(runs)
        }


def _measured(model: PackedFPT, probe: Probe, *, num_runs: int) -> tuple[list, list]:
    """Mean attention to every place, [K, R, T], and that of each head to the relevant ones, [K, R, H], as lists."""
    num_examples = len(probe.inputs)
    weights = masses = torch.zeros((), dtype=torch.float64, device=model.device)
    for start in range(0, num_examples, _EXAMPLES_PER_FORWARD):
        part = slice(start, start + _EXAMPLES_PER_FORWARD)
        inputs = probe.inputs[part]
        by_token = model.first_attention(inputs.expand(num_runs, *inputs.shape))
        assert by_token is not None, "an architecture with heads attends"
        by_place = by_token.double().take_along_dim(probe.order[part].view(1, -1, 1, 1, probe.order.shape[1]), dim=-1)
        weights = weights + by_place.mean(2).sum(1)
        masses = masses + (by_place * probe.relevant).sum(-1).sum(1).transpose(1, 2)
    return (weights / num_examples).tolist(), (masses / num_examples).tolist()


def _uniform(probe: Probe, architecture: Architecture) -> list[float]:
    """[R] what the relevant places get, mean over examples, where a token attends alike to all that it can see."""
    num_read, num_tokens = probe.relevant.shape
    keys = torch.arange(num_tokens, device=probe.order.device)
    queries = keys[-num_read:].unsqueeze(1)
    is_seen = keys <= queries if architecture.is_causal else torch.ones_like(probe.relevant)
    if architecture.reaches:
        is_seen = is_seen & ((keys - queries).abs() <= architecture.reaches[0])
    seen = is_seen[:, probe.order]  # [R, N, T], by place
    share = (seen & probe.relevant.unsqueeze(1)).sum(-1) / seen.sum(-1)
    return share.double().mean(1).tolist()
