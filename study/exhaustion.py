"""Which errors mean that memory ran out, of the host or of a GPU."""

from __future__ import annotations

import errno

import torch

# What torch says in a bare RuntimeError: its allocator for the CPU, and libraries of CUDA that allocate by themselves.
_WORDS = (
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at once may succeed where this error was raised."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
