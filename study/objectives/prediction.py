"""The two ways to learn from sequences: predict what comes next, or what was hidden.

Causal bodies predict each token from those before it. Bodies that see both ways would see the answer, so they predict
tokens that were hidden from them. A token is a symbol (text, brackets) or a row of values (a patch of pixels, a row of
cells) of which every value is one prediction.

Everything random is counted (`tasks.counter`): example i of a stream hides the same tokens whoever draws it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from study.objectives.base import IGNORED
from tasks import counter
from tasks.base import Batch, Layout
from tasks.streams import GeneratedStream

_HIDDEN_SYMBOLS = 0.15
"""Share of hidden symbols, of which 80 % become the mask, 10 % any symbol, 10 % stay (Devlin et al. 2019, 3.1)."""
_MASKED, _REPLACED = 0.8, 0.1
_HIDDEN_ROWS = 0.4
"""Share of hidden rows: BEiT's of patches (Bao et al. 2022, arXiv 2106.08254, section 2.3)."""
_NUM_SAMPLE = 512
_CPU = torch.device("cpu")

Sequences = Callable[[int, int], torch.Tensor]
"""(first, N) -> examples number first .. first + N - 1 of an endless sequence: symbols [N, T] int64."""


def symbols_layout(*, num_tokens: int, num_symbols: int, is_causal: bool) -> Layout:
    """The layout of symbols; a body that sees both ways has one symbol more, the mask, which it never predicts."""
    return Layout(
        num_tokens=num_tokens,
        num_features=None,
        num_symbols=num_symbols if is_causal else num_symbols + 1,
        num_readouts=num_tokens,
        num_targets=1,
        num_classes=num_symbols,
    )


def rows_layout(*, num_tokens: int, num_values: int, num_classes: int, is_causal: bool) -> Layout:
    """The layout of rows; a body that sees both ways has one feature more, which is 1 where a row is hidden."""
    return Layout(
        num_tokens=num_tokens,
        num_features=num_values if is_causal else num_values + 1,
        num_symbols=None,
        num_readouts=num_tokens,
        num_targets=num_values,
        num_classes=num_classes,
    )


def symbols_stream(sequences: Sequences, *, num_symbols: int, is_causal: bool, key: int) -> GeneratedStream:
    """Endless examples; sequences of T + 1 symbols for causal bodies, of T for the others."""
    return GeneratedStream(
        lambda first, num: symbols_batch(
            sequences(first, num), num_symbols=num_symbols, is_causal=is_causal, key=key, first=first
        ),
        num_sample=_NUM_SAMPLE,
    )


def symbols_batch(symbols: torch.Tensor, *, num_symbols: int, is_causal: bool, key: int, first: int = 0) -> Batch:
    """Examples first .. first + N - 1 of symbols.

    Args:
        symbols: [N, T + 1] for causal bodies, [N, T] for the others.
        num_symbols: V; the mask is symbol V.
        is_causal: predict the next symbol, not the hidden ones.
        key: of the stream; decides which symbols are hidden.
        first: number of the first example.

    Returns:
        inputs [N, T]; targets [N, T], `IGNORED` where nothing is hidden.
    """
    if is_causal:
        return Batch(symbols[:, :-1], symbols[:, 1:])
    is_hidden, fate, other = _hidden(symbols.shape[:2], _HIDDEN_SYMBOLS, key, first)
    shown = torch.where(fate < _MASKED, num_symbols, counter.below(other, num_symbols))
    shown = torch.where(fate < _MASKED + _REPLACED, shown, symbols)
    return Batch(torch.where(is_hidden, shown, symbols), torch.where(is_hidden, symbols, IGNORED))


def rows_batch(values: torch.Tensor, classes: torch.Tensor, *, is_causal: bool, key: int, first: int = 0) -> Batch:
    """Examples first .. first + N - 1 of rows.

    Args:
        values: [N, T + 1, F] for causal bodies, [N, T, F] for the others.
        classes: same shape.
        is_causal: predict the next row, not the hidden ones.
        key: of the stream; decides which rows are hidden.
        first: number of the first example.

    Returns:
        inputs [N, T, F] or [N, T, F + 1]; targets [N, T * F], `IGNORED` where nothing is hidden.
    """
    if is_causal:
        return Batch(values[:, :-1], classes[:, 1:].flatten(1))
    is_hidden = _hidden(values.shape[:2], _HIDDEN_ROWS, key, first)[0].unsqueeze(-1)
    inputs = torch.cat([values.masked_fill(is_hidden, 0.0), is_hidden.to(values.dtype)], dim=-1)
    return Batch(inputs, torch.where(is_hidden, classes, IGNORED).flatten(1))


def _hidden(shape: torch.Size, share: float, key: int, first: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Which tokens are hidden, as many in every example; for each token a uniform number and a random word. [N, T]."""
    num, length = shape
    # A key of its own: what is hidden must not depend on what the example is.
    words = counter.words(counter.key("hidden", key), first, num, 3 * length, _CPU).view(num, 3, length)
    ranks = words[:, 0].argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    return ranks < max(1, round(share * length)), counter.uniforms(words[:, 1]), words[:, 2]
