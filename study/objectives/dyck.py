"""k-Shuffle Dyck: brackets of k types whose nestings interleave, "( [ ) ]", so that only the counts have to balance.

The process and its constants are those of Hu et al. 2025, "Between Circuits and Chomsky: Pre-pretraining on Formal
Languages Imparts Linguistic Biases" (arXiv 2502.19249): with nothing open, or with probability 0.5 as long as
fewer than 16 are open, a bracket of any type is opened; else one of the types that are open is closed. The sequence is
cut after T symbols. Symbol i opens type i, symbol k + i closes it.

The process is known, so the loss that no predictor of the next bracket can beat is known too; the card has it.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from study.objectives.base import Objective
from study.objectives.baselines import unigram_entropy
from study.objectives.prediction import symbols_batch, symbols_layout, symbols_stream
from tasks import counter

_P_OPEN = 0.5
_MOST_OPEN = 16
_NUM_HELD_OUT = 512
_LARGE = 1 << 62
_CPU = torch.device("cpu")


def dyck(*, num_types: int, num_tokens: int, is_causal: bool, seed: int) -> Objective:
    """The objective.

    Args:
        num_types: k.
        num_tokens: T.
        is_causal: predict the next bracket, not the hidden ones.
        seed: of the endless training stream.
    """
    length = num_tokens + 1 if is_causal else num_tokens
    key, held_out_key = counter.key("dyck", "train", seed), counter.key("dyck", "held-out")
    num_symbols = 2 * num_types
    symbols, nats = brackets(held_out_key, 0, _NUM_HELD_OUT, num_types=num_types, length=length)
    held_out = symbols_batch(symbols, num_symbols=num_symbols, is_causal=is_causal, key=held_out_key)
    least = {"least_bits_per_bracket": f"{nats[:, 1:].mean().item() / math.log(2):.4f}"} if is_causal else {}
    return Objective(
        layout=symbols_layout(num_tokens=num_tokens, num_symbols=num_symbols, is_causal=is_causal),
        stream=symbols_stream(
            lambda first, num: brackets(key, first, num, num_types=num_types, length=length)[0],
            num_symbols=num_symbols,
            is_causal=is_causal,
            key=key,
        ),
        held_out=held_out,
        ties_output=True,
        metric="bits_per_bracket" if is_causal else "masked_bits_per_bracket",
        measure=lambda loss, _accuracy: loss / math.log(2),
        is_better_lower=True,
        baseline=unigram_entropy(symbols.numpy()),
        source={"corpus": f"generated, {num_types}-shuffle Dyck", **least},
    )


def brackets(
    key: int, first: int, num_examples: int, *, num_types: int, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences first .. first + N - 1 of a key.

    Returns:
        symbols [N, length] int64, and what each costs in nats when the process is known, [N, length] float64.
    """
    words = counter.words(key, first, num_examples, 2 * length, _CPU).view(num_examples, 2, length)
    is_heads = (counter.uniforms(words[:, 0]) < _P_OPEN).numpy()
    which = counter.below(words[:, 1], _LARGE).numpy()
    # Arrays this small cost numpy a fifth of torch's time per operation.
    open_of_type = np.zeros((num_examples, num_types), np.int64)
    symbols = np.empty((num_examples, length), np.int64)
    nats = np.empty((num_examples, length))
    rows = np.arange(num_examples)
    for t in range(length):
        num_open = open_of_type.sum(axis=1)
        is_free = (num_open > 0) & (num_open < _MOST_OPEN)
        opens = (num_open == 0) | (is_free & is_heads[:, t])
        is_open = open_of_type > 0
        num_choices = np.where(opens, num_types, is_open.sum(axis=1))
        choice = which[:, t] % num_choices
        # The type up to which, itself included, choice + 1 types are open.
        closed = (is_open.cumsum(axis=1) <= choice[:, None]).sum(axis=1)
        kind = np.where(opens, choice, closed)
        open_of_type[rows, kind] += np.where(opens, 1, -1)
        symbols[:, t] = np.where(opens, kind, kind + num_types)
        nats[:, t] = np.log(num_choices) + is_free * math.log(1 / _P_OPEN)
    return torch.from_numpy(symbols), torch.from_numpy(nats)
