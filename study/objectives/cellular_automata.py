"""Elementary cellular automata: predict the next row of cells, after Zhang et al. 2024, "Intelligence at the Edge of
Chaos" (arXiv 2410.02536), who feed GPT-2 the rows of one rule's space-time diagram as binary vectors.

A row is a token. The cells are a ring and start at random; cell i of the next row depends on cells i - 1, i, i + 1,
read as a binary number n: it is bit n of the rule (Wolfram 1983, Reviews of Modern Physics 55).
"""

from __future__ import annotations

import torch

from study.objectives.base import Objective
from study.objectives.baselines import commonest
from study.objectives.prediction import rows_batch, rows_layout, rows_stream
from tasks import counter

_NUM_HELD_OUT = 256
_CPU = torch.device("cpu")


def cellular_automaton(*, rule: int, num_cells: int, num_rows: int, is_causal: bool, seed: int) -> Objective:
    """The objective.

    Args:
        rule: 0 .. 255.
        num_cells: F, cells of a row.
        num_rows: T, rows that the body sees.
        is_causal: predict the next row, not the hidden ones.
        seed: of the endless training stream.
    """
    length = num_rows + 1 if is_causal else num_rows
    key, held_out_key = counter.key("automaton", "train", seed), counter.key("automaton", "held-out")

    def rows(key: int, first: int, num_examples: int) -> tuple[torch.Tensor, torch.Tensor]:
        cells = space_time(key, first, num_examples, rule=rule, num_cells=num_cells, num_rows=length)
        return cells.float(), cells

    held_out = rows_batch(*rows(held_out_key, 0, _NUM_HELD_OUT), is_causal=is_causal, key=held_out_key)
    return Objective(
        layout=rows_layout(num_tokens=num_rows, num_values=num_cells, num_classes=2, is_causal=is_causal),
        stream=rows_stream(lambda first, num: rows(key, first, num), is_causal=is_causal, key=key),
        held_out=held_out,
        ties_output=False,
        metric="accuracy" if is_causal else "masked_accuracy",
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
