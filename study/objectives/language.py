"""Text: the next token for causal bodies (GPT-2, Radford et al. 2019), hidden tokens for the others (BERT, Devlin et
al. 2019), with bytes or any tokenizer's tokens.

An example is a window at a random place of the training text. The held-out loss is reported in bits per byte of text,
so that tokenizers compare: nats per token, divided by ln 2 and by the mean number of bytes of the tokens predicted.
`masked_bits_per_byte` is the same of hidden tokens only; they are seen from both sides, so it is smaller and compares
with no causal body's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from study.objectives.base import IGNORED, Objective
from study.objectives.baselines import unigram_entropy
from study.objectives.prediction import symbols_batch, symbols_layout, symbols_stream
from study.objectives.tokenizer import BYTES, TokenizerFiles, encode
from tasks import counter
from tasks.corpora import NUM_BYTE_SYMBOLS, Corpus
from tasks.source import Source

_NUM_HELD_OUT = 512
"""Windows of the held-out text that are scored, evenly spread over it: of 64 bytes, one second of the nano body."""
_POOL = 8
"""Bytes of training text per token that is drawn: a tokenizer's tokens, at about 4 bytes each, are drawn from a text
twice as long as it takes, because tokenising a corpus takes minutes where a nano body needs a fraction of it."""
_PIECE = 1 << 16
_HELD_OUT_POOL = 1 << 20


@dataclass(frozen=True)
class TextData(Source):
    """A corpus and how it is tokenised.

    Attributes:
        corpus: the text.
        tokenizer: None for bytes.
    """

    corpus: Corpus
    tokenizer: TokenizerFiles | None = None


@dataclass(frozen=True)
class _Tokenised:
    """Both parts as tokens, [n] uint8, uint16 or uint32.

    Attributes:
        train, valid: tokens.
        valid_ends: bytes of the held-out text up to the end of each token, [n] int64.
        num_symbols: size of the vocabulary.
        byte_entropy: unigram entropy of the held-out bytes, in bits.
    """

    train: np.ndarray
    valid: np.ndarray
    valid_ends: np.ndarray
    num_symbols: int
    byte_entropy: float


def language(data: TextData, *, num_tokens: int, num_drawn: int, is_causal: bool, seed: int) -> Objective:
    """The objective over a corpus.

    Args:
        data: corpus and tokenizer.
        num_tokens: T, tokens that the body sees.
        num_drawn: tokens that the whole training draws.
        is_causal: predict the next token, not the hidden ones.
        seed: of the places the windows are cut from, and of what is hidden.

    Raises:
        ValueError: the corpus is shorter than a window.
        tasks.files.DamagedData: the corpus or the tokenizer cannot be read.
    """
    text = _tokenised(data, num_drawn)
    length = num_tokens + 1 if is_causal else num_tokens
    shortest = min(len(text.train), len(text.valid))
    if shortest < length:
        raise ValueError(f"{data.name}: a part of {shortest} tokens is shorter than a window of {length}")
    places = _spread(len(text.valid), num_tokens, length)
    key = counter.key("language", "train", seed)
    held_out = symbols_batch(
        _windows(text.valid, places, length),
        num_symbols=text.num_symbols,
        is_causal=is_causal,
        key=counter.key("language", "held-out"),
    )
    bytes_per_token = _bytes_per_prediction(text, places, held_out.targets, is_causal)
    last = len(text.train) - length + 1

    def sequences(first: int, num_examples: int) -> torch.Tensor:
        words = counter.words(key, first, num_examples, 1, torch.device("cpu"))
        return _windows(text.train, counter.below(words[:, 0], last).numpy(), length)

    return Objective(
        layout=symbols_layout(num_tokens=num_tokens, num_symbols=text.num_symbols, is_causal=is_causal),
        stream=symbols_stream(sequences, num_symbols=text.num_symbols, is_causal=is_causal, key=key),
        held_out=held_out,
        ties_output=True,
        metric="bits_per_byte" if is_causal else "masked_bits_per_byte",
        measure=lambda loss, _accuracy: loss / math.log(2) / bytes_per_token,
        is_better_lower=True,
        baseline=text.byte_entropy,
        source={
            "corpus": data.corpus.name,
            "corpus_checksum": data.corpus.checksum,
            "tokenizer": data.tokenizer.name if data.tokenizer else BYTES,
            "tokenizer_checksum": data.tokenizer.checksum if data.tokenizer else "",
        },
    )


def _windows(tokens: np.ndarray, places: np.ndarray, length: int) -> torch.Tensor:
    """[N, length] int64 from the windows that start at `places`."""
    view = np.lib.stride_tricks.sliding_window_view(tokens, length)
    return torch.from_numpy(view[places].astype(np.int64))


def _spread(num_available: int, stride: int, length: int) -> np.ndarray:
    """Starts of at most `_NUM_HELD_OUT` windows, evenly spread, no two closer than `stride`."""
    places = np.arange(0, num_available - length + 1, stride)
    return places[:: max(1, len(places) // _NUM_HELD_OUT)][:_NUM_HELD_OUT]


def _bytes_per_prediction(text: _Tokenised, places: np.ndarray, targets: torch.Tensor, is_causal: bool) -> float:
    """Mean number of bytes of the held-out tokens that are predicted."""
    sizes = np.diff(text.valid_ends, prepend=0)
    first = places + 1 if is_causal else places
    predicted = _windows(sizes, first, targets.shape[1])[targets != IGNORED]
    return predicted.double().mean().item()


@lru_cache(maxsize=1)
def _tokenised(data: TextData, num_drawn: int) -> _Tokenised:
    text = data.corpus.read()
    entropy = unigram_entropy(text.valid)
    if data.tokenizer is None:
        ends = np.arange(1, len(text.valid) + 1)
        return _Tokenised(text.train, text.valid, ends, NUM_BYTE_SYMBOLS, entropy)
    tokenizer = data.tokenizer.load()
    train = encode(tokenizer, _pool(text.train, _POOL * num_drawn).tobytes())
    valid = encode(tokenizer, _pool(text.valid, _HELD_OUT_POOL).tobytes())
    return _Tokenised(train.ids, valid.ids, valid.ends, tokenizer.get_vocab_size(), entropy)


def _pool(text: np.ndarray, num_bytes: int) -> np.ndarray:
    """About so many bytes of a text, in pieces evenly spread over it; all of it where it is not longer."""
    num_pieces = max(1, num_bytes // _PIECE)
    if len(text) <= num_pieces * _PIECE:
        return text
    # Bytes 10xxxxxx continue a character of UTF-8.
    starts = np.flatnonzero((text & 0xC0) != 0x80)
    cuts = np.linspace(0, len(text) - _PIECE, num_pieces).astype(np.int64)
    first, last = (starts[np.searchsorted(starts, place).clip(max=len(starts) - 1)] for place in (cuts, cuts + _PIECE))
    return np.concatenate([text[i:j] for i, j in zip(first, last, strict=True)])
