"""Next-byte prediction: the causal language modelling of GPT-2 (Radford et al. 2019) with bytes for tokens.

An example is a window of T + 1 bytes at a random place of the training text; every position predicts the next byte.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from study.objectives.base import Objective
from tasks.base import Batch, Layout
from tasks.corpora import NUM_BYTE_SYMBOLS, Corpus, Text

_NUM_HELD_OUT = 512
"""Windows of the held-out text that are scored, evenly spread over it: of 64 bytes, one second of the nano body."""


def language(corpus: Corpus, *, num_tokens: int, seed: int) -> Objective:
    """The objective over a corpus.

    Args:
        corpus: the text.
        num_tokens: T, bytes that the body sees.
        seed: of the places the windows are cut from.

    Raises:
        ValueError: the corpus is shorter than a window.
        tasks.files.DamagedData: the corpus cannot be read.
    """
    text = corpus.read()
    shortest = min(len(text.train), len(text.valid))
    if shortest <= num_tokens:
        raise ValueError(f"{corpus.name}: a part of {shortest} bytes is shorter than a window of {num_tokens + 1}")
    layout = Layout(
        num_tokens=num_tokens,
        num_features=None,
        num_symbols=NUM_BYTE_SYMBOLS,
        num_readouts=num_tokens,
        num_targets=1,
        num_classes=NUM_BYTE_SYMBOLS,
    )
    return Objective(
        layout=layout,
        stream=_Windows(text.train, num_tokens, seed),
        held_out=_held_out(text, num_tokens),
        ties_output=True,
        metric="bits_per_byte",
        measure=lambda loss, _accuracy: loss / math.log(2),
        is_better_lower=True,
        baseline=unigram_entropy(text.valid),
        source={"corpus": corpus.name, "corpus_checksum": corpus.checksum, "tokenizer": "bytes"},
    )


def unigram_entropy(symbols: np.ndarray) -> float:
    """Bits per symbol of the best predictor that ignores what came before: the entropy of the symbols' frequencies."""
    shares = np.unique(symbols, return_counts=True)[1] / symbols.size
    return float(-(shares * np.log2(shares)).sum())


class _Windows:
    """Windows at independent random places."""

    def __init__(self, text: np.ndarray, num_tokens: int, seed: int) -> None:
        self._windows = np.lib.stride_tricks.sliding_window_view(text, num_tokens + 1)
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, num_examples: int) -> Batch:
        """The next windows."""
        starts = torch.randint(len(self._windows), (num_examples,), generator=self._generator)
        return _batch(self._windows[starts.numpy()])

    def examples(self) -> Batch:
        """The first window after each of 512 evenly spread places."""
        return _batch(_spread(self._windows, 1))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The generator's state."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from such a state."""
        self._generator.set_state(state["generator"])


def _held_out(text: Text, num_tokens: int) -> Batch:
    windows = np.lib.stride_tricks.sliding_window_view(text.valid, num_tokens + 1)
    return _batch(_spread(windows, num_tokens))


def _spread(windows: np.ndarray, stride: int) -> np.ndarray:
    """At most `_NUM_HELD_OUT` windows, evenly spread, no two closer than `stride`."""
    places = np.arange(0, len(windows), stride)
    step = max(1, len(places) // _NUM_HELD_OUT)
    return windows[places[::step][:_NUM_HELD_OUT]]


def _batch(windows: np.ndarray) -> Batch:
    symbols = torch.from_numpy(windows.astype(np.int64))
    return Batch(inputs=symbols[:, :-1], targets=symbols[:, 1:])
