"""Which errors mean that memory ran out, of the host or of a GPU, and which that a process can use its GPU no more."""

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


def is_lasting(error: BaseException) -> bool:
    """Whether every later use of the GPU by this process would fail as well: an assertion or a bad access in a kernel.

    CUDA keeps such an error for as long as the process lives, so whatever it trained next would fail without fault.
    """
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)
