"""Elementary cellular automata: predict the next row of cells, after Zhang et al. 2024, "Intelligence at the Edge of
Chaos" (arXiv 2410.02536), who feed GPT-2 the rows of one rule's space-time diagram as binary vectors.

A row is a token. The cells are a ring and start at random; cell i of the next row depends on cells i - 1, i, i + 1,
read as a binary number n: it is bit n of the rule (Wolfram 1983, Reviews of Modern Physics 55).

A causal body predicts every next row. A body that sees both ways is asked for the last row alone, in whose place it
sees zeros and a mark: with rows hidden at random, as words are, ViT nano did not learn the rule (62 % of the cells
after 1,000 steps).
"""

from __future__ import annotations

import torch

from study.objectives.base import Objective
from study.objectives.baselines import commonest
from study.objectives.prediction import rows_batch
from tasks import counter
from tasks.base import Batch, Layout
from tasks.streams import GeneratedStream

_NUM_HELD_OUT = 256
_CPU = torch.device("cpu")


def cellular_automaton(*, rule: int, num_cells: int, num_rows: int, is_causal: bool, seed: int) -> Objective:
    """The objective.

    Args:
        rule: 0 .. 255.
        num_cells: F, cells of a row.
        num_rows: T, rows that the body sees.
        is_causal: predict every next row, not the last one.
        seed: of the endless training stream.
    """

    def batch(key: int, first: int, num_examples: int) -> Batch:
        length = num_rows + 1 if is_causal else num_rows
        cells = space_time(key, first, num_examples, rule=rule, num_cells=num_cells, num_rows=length)
        return rows_batch(cells.float(), cells, is_causal=True, key=key) if is_causal else _asked(cells)

    key, held_out_key = counter.key("automaton", "train", seed), counter.key("automaton", "held-out")
    held_out = batch(held_out_key, 0, _NUM_HELD_OUT)
    return Objective(
        layout=Layout(
            num_tokens=num_rows,
            num_features=num_cells if is_causal else num_cells + 1,
            num_symbols=None,
            num_readouts=num_rows if is_causal else 1,
            num_targets=num_cells,
            num_classes=2,
        ),
        stream=GeneratedStream(lambda first, num: batch(key, first, num), num_sample=_NUM_HELD_OUT),
        held_out=held_out,
        ties_output=False,
        metric="accuracy",
        measure=lambda _loss, accuracy: accuracy,
        is_better_lower=False,
        baseline=commonest(held_out.targets),
        source={"corpus": f"generated, elementary rule {rule} on a ring of {num_cells} cells"},
    )


def space_time(key: int, first: int, num_examples: int, *, rule: int, num_cells: int, num_rows: int) -> torch.Tensor:
    """Diagrams first .. first + N - 1 of a key: cells [N, num_rows, num_cells] int64, the first row random."""
    row = counter.words(key, first, num_examples, num_cells, _CPU) & 1
    next_of = torch.tensor([rule >> number & 1 for number in range(8)])
    rows = [row]
    while len(rows) < num_rows:
        row = next_of[4 * row.roll(1, dims=1) + 2 * row + row.roll(-1, dims=1)]
        rows.append(row)
    return torch.stack(rows, dim=1)


def _asked(cells: torch.Tensor) -> Batch:
    """Inputs [N, T, F + 1], the last row replaced by zeros and a mark; targets [N, F]."""
    shown = torch.cat([cells, torch.zeros_like(cells[..., :1])], dim=-1).float()
    shown[:, -1] = 0.0
    shown[:, -1, -1] = 1.0
    return Batch(shown, cells[:, -1])
