"""A hint to the C library: keep freed memory for the next tensor instead of giving it back to the system."""

from __future__ import annotations

import ctypes

# glibc's mallopt parameters and values: see mallopt(3). 32 MiB is the largest threshold that it accepts.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_VALUES = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20}


def keep_freed_memory() -> bool:
    """Stop glibc from returning memory between operations; false where the C library has no such setting.

    A tensor of more than 128 KiB is otherwise mapped and unmapped again and again, and the system clears its pages each
    time: evaluating a nano body spent 22-27 % of its processor time in the kernel, and 1 % with this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(parameter, value) for parameter, value in _VALUES.items())
