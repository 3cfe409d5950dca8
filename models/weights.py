"""Tensors of bodies on disk: our own states, and checkpoints as transformers writes them.

Only tensors are read: safetensors, or PyTorch files with `weights_only=True`. Code that a checkpoint brings along is
never run.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models import BODIES
from models.bodies import OWN_POSITIONS, Architecture, architecture
from models.hub import CONFIG_FILE, OfflineError, locate, pinned, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = [
    "OfflineError",
    "checkpoint_architecture",
    "load_checkpoint",
    "load_state",
    "pinned",
    "save_state",
    "stored_dtypes",
]


def save_state(path: Path, state: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors and string metadata as one safetensors file, in place; publishing it whole is the caller's part."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, path, dict(metadata or {}))


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors or PyTorch file, on the CPU, in the precision they are stored in.

    Raises:
        ValueError: truncated, or not such a file.
    """
    return dict(_tensors(path))


def checkpoint_architecture(name: str, *, body: str | None = None, num_layers: int | None = None) -> Architecture:
    """The architecture of a checkpoint, from its config alone; arguments and errors as in `load_checkpoint`."""
    folder = locate(name, with_weights=False).folder
    return _architecture(folder, body, num_layers)


def load_checkpoint(
    name: str, *, body: str | None = None, num_layers: int | None = None
) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """Architecture and state of a checkpoint, float32 on the CPU, the position table included.

    Token embeddings, poolers and heads are dropped; a position table of our own, which no checkpoint of transformers
    has, starts at zero. Everything else must be there with the right shape, and nothing else may be.

    Args:
        name: a folder or hub id with optional "@revision"; a leading "checkpoint:" is dropped.
        body: what the checkpoint must be; None takes what it is.
        num_layers: keep the first so many layers.

    Raises:
        ValueError: not found, of another architecture, damaged, or tensors that are missing, left over or mis-shaped.
        OfflineError: not on this machine, and the hub cannot be reached.
    """
    folder = locate(name, with_weights=True).folder
    whole = _architecture(folder, body, None)
    state: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        for stored, tensor in _tensors(path):
            key = _state_name(whole, stored)
            if key in state:
                raise ValueError(f"the checkpoint in {folder} holds {key} twice, under names with and without prefix")
            if key is not None:
                state[key] = _without_padding(whole, key, tensor.float())
    if whole.position_name == OWN_POSITIONS:
        state.setdefault(OWN_POSITIONS, torch.zeros(whole.shapes[OWN_POSITIONS]))
    _require_same(folder, whole.shapes, state)
    wanted = whole if num_layers is None else _architecture(folder, body, num_layers)
    return wanted, {key: state[key] for key in wanted.shapes}


def stored_dtypes(name: str) -> list[str]:
    """Number formats of the tensors in a checkpoint's files, such as float16; arguments and errors as above."""
    files = weight_files(locate(name, with_weights=True).folder)
    return sorted({str(tensor.dtype).removeprefix("torch.") for path in files for _, tensor in _tensors(path)})


def _architecture(folder: Path, body: str | None, num_layers: int | None) -> Architecture:
    path = folder / CONFIG_FILE
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a checkpoint's configuration: a JSON object is needed")
    kind = values.get("model_type")
    known = ", ".join(name for name in BODIES if not name.startswith("lstm"))
    if "auto_map" in values:
        raise ValueError(
            f"{path} asks for code of its own (auto_map, trust_remote_code), which is never run; known types: {known}"
        )
    if kind not in known.split(", "):
        raise ValueError(f"the checkpoint in {folder} is of type {kind!r}; known types: {known}")
    if body is not None and kind != body:
        raise ValueError(f"the checkpoint in {folder} is of type {kind!r}, not {body!r}; choose body {kind!r}")
    if "quantization_config" in values:
        raise ValueError(f"the checkpoint in {folder} is quantised; use one with plain weights")
    return architecture(kind, num_layers=num_layers, config=_config(kind, values, path))


def _config(kind: str, values: dict[str, Any], path: Path) -> PreTrainedConfig:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(**values)
    except (StrictDataclassError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} is not a valid {kind} config: {first}") from error


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    damaged = f"{path} is truncated or damaged: fetch it again"
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    yield name, file.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(damaged) from error
        return
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than tensors, or is damaged: it is not read; use safetensors") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(damaged) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ValueError(f"{path} is not a flat table of names and tensors")
    yield from tensors.items()


def _state_name(whole: Architecture, stored: str) -> str | None:
    """Name in a state of a tensor in a checkpoint; None where the body has no use for it."""
    assert whole.checkpoint is not None
    name = stored.removeprefix(whole.checkpoint.prefix)
    for regex, replacement in whole.checkpoint.renamed:
        name = re.sub(regex, replacement, name)
    return None if re.fullmatch(whole.checkpoint.dropped, name) else name


def _without_padding(whole: Architecture, key: str, tensor: torch.Tensor) -> torch.Tensor:
    """A learned position table from the first token's row on; any other tensor as it is."""
    assert whole.checkpoint is not None
    return tensor[whole.checkpoint.first_position :].clone() if key == whole.position_name else tensor


def _require_same(folder: Path, shapes: Mapping[str, torch.Size], state: Mapping[str, torch.Tensor]) -> None:
    """Refuse any difference, both ways, in one line."""
    differences = {
        "missing": [name for name in shapes if name not in state],
        "unexpected": [name for name in state if name not in shapes],
        "mis-shaped": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(shape)}"
            for name, shape in shapes.items()
            if name in state and state[name].shape != shape
        ],
    }
    if any(differences.values()):
        raise ValueError(
            f"the tensors in {folder} are not those of its config: "
            + "; ".join(f"{len(names)} {kind}: {_few(names)}" for kind, names in differences.items() if names)
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
