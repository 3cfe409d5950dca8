"""A training state as bytes and back: nested mappings and lists of tensors and plain values, in the safetensors format.

Nothing in such a file is ever executed. The plain values are JSON inside the file, as one more tensor of bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch

from study.errors import one_line

_PLAIN = "plain"
_STAMP, _CHECKSUM = "stamp", "checksum"


class BadSnapshot(ValueError):
    """These bytes are no whole snapshot, or one that was made under other circumstances; the message says which."""


def to_bytes(state: Mapping[str, Any], stamp: Mapping[str, Any]) -> bytes:
    """The state, with what must be the same wherever it is continued.

    Args:
        state: mappings with keys of text, sequences, tensors on any device, and values that JSON holds; a float that
            is not finite is kept too.
        stamp: values that JSON holds.
    """
    tensors: dict[str, torch.Tensor] = {}
    document = _flatten(state, tensors)
    plain = json.dumps(document).encode()
    tensors[_PLAIN] = torch.frombuffer(bytearray(plain), dtype=torch.uint8)
    return safetensors.torch.save(tensors, metadata={_STAMP: _text(stamp), _CHECKSUM: _checksum(tensors)})


def from_bytes(data: bytes, stamp: Mapping[str, Any]) -> dict[str, Any]:
    """The state that `to_bytes` was given, its tensors on the CPU and its sequences as lists.

    Raises:
        BadSnapshot: torn, altered or foreign bytes, or another stamp.
    """
    try:
        # The header is length-prefixed JSON: see the safetensors format.
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        tensors = safetensors.torch.load(data)
        is_sound = _checksum(tensors) == metadata[_CHECKSUM]
        document = json.loads(tensors.pop(_PLAIN).numpy().tobytes())
        written = json.loads(metadata[_STAMP])
        state = _rebuild(document, tensors)  # names are not in the checksum: one that was altered is found here
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError) as error:
        raise BadSnapshot(f"not a whole snapshot: {one_line(error)}") from None
    if not is_sound:
        raise BadSnapshot("not a whole snapshot: its checksum is another")
    if _text(written) != _text(stamp):
        raise BadSnapshot(f"made under other circumstances: {_difference(written, stamp)}")
    return state


def _text(stamp: Mapping[str, Any]) -> str:
    return json.dumps(stamp, sort_keys=True)


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """CRC-32 of all values; the format itself would take altered ones for true."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def _difference(written: Mapping[str, Any], stamp: Mapping[str, Any]) -> str:
    """Both sides of the first entry in which two stamps differ."""
    names = [name for name in {**stamp, **written} if written.get(name) != stamp.get(name)]
    return f"{names[0]} was {written.get(names[0])}, is {stamp.get(names[0])}"


def _flatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON in which a mapping, a list and a tensor are each told apart; the tensors go into `tensors` by number."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # A copy of its own: safetensors refuses tensors that share their memory.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"map": {name: _flatten(inner, tensors) for name, inner in value.items()}}
    if isinstance(value, list | tuple):
        return [_flatten(inner, tensors) for inner in value]
    assert value is None or isinstance(value, bool | int | float | str), f"{type(value).__name__} in a snapshot"
    return value


def _rebuild(document: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(document, list):
        return [_rebuild(inner, tensors) for inner in document]
    if isinstance(document, dict):
        if "tensor" in document:
            return tensors[document["tensor"]]
        return {name: _rebuild(inner, tensors) for name, inner in document["map"].items()}
    return document
