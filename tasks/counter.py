"""Random numbers by counting: value i of a key is a hash of (key, i), whoever draws it, whenever and wherever.

Data streams need what `torch.Generator` cannot give: 8 examples drawn twice equal 16 drawn once, the CPU and a GPU make
the same examples, and the whole state of a stream is one number. The hash is two rounds of the SplitMix64 finaliser
(Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
import struct

import torch


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FACTOR_1 = _signed(0xBF58476D1CE4E5B9)
_FACTOR_2 = _signed(0x94D049BB133111EB)


def key(*parts: str | int) -> int:
    """A 64-bit key (signed) from names and numbers; different parts give unrelated keys."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return struct.unpack("<q", digest[:8])[0]


def _shifted(z: torch.Tensor, num_bits: int) -> torch.Tensor:
    """Logical right shift; torch shifts int64 arithmetically."""
    return (z >> num_bits) & ((1 << (64 - num_bits)) - 1)


def _mixed(z: torch.Tensor) -> torch.Tensor:
    z = (z ^ _shifted(z, 30)) * _FACTOR_1
    z = (z ^ _shifted(z, 27)) * _FACTOR_2
    return z ^ _shifted(z, 31)


def words(key: int, first: int, num_rows: int, num_words: int, device: torch.device) -> torch.Tensor:
    """64 random bits per entry: rows first .. first + num_rows - 1 of a table with num_words columns.

    Returns:
        [num_rows, num_words] int64, every bit pattern equally likely.
    """
    index = torch.arange(first * num_words, (first + num_rows) * num_words, device=device)
    return _mixed(_mixed(index * _GOLDEN + key) ^ key).view(num_rows, num_words)


def bits(words: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """The bits of random words as real values: [N, W] int64 -> [N, 64 * W] float32 of `low` (bit 0) and `high`."""
    places = torch.arange(8, device=words.device)
    is_set = (torch.arange(256, device=words.device).unsqueeze(-1) >> places) & 1
    # A row of this table per byte is five times faster on a CPU than shifting every bit out of its word.
    values_of_byte = is_set.to(torch.float32) * (high - low) + low
    octets = words.contiguous().view(torch.uint8)
    return values_of_byte.index_select(0, octets.flatten().int()).view(len(words), -1)


def below(words: torch.Tensor, bound: int) -> torch.Tensor:
    """Integers 0 .. bound - 1 from random words, same shape; biased by less than bound / 2**63."""
    return _shifted(words, 1) % bound


def uniforms(words: torch.Tensor) -> torch.Tensor:
    """float32 values in [0, 1) from random words, same shape; multiples of 2**-24, so exact on every device."""
    return _shifted(words, 40).to(torch.float32) * 2.0**-24


def permutation(key: int, row: int, num_items: int, device: torch.device) -> torch.Tensor:
    """Permutation number `row` of a key: [num_items] int64."""
    return words(key, row, 1, num_items, device).flatten().argsort(stable=True)
