"""The store of bodies: each is whole or absent, and has a card that says what it is.

OUT/bodies/<key>/model.safetensors   the tensors, and the card in the file's own metadata
OUT/bodies/<key>/card.json           the card once more, for people and for the report

The tensors of a pretrained body and its card are one file, committed at once: whoever comes second finds a whole body
and uses it, and a process that dies leaves either nothing or everything. `card.json` is a copy that anybody may add.
Bodies that are drawn, derived or loaded have a card only, since they can be had again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch

from study.storage import Storage


def has_body(storage: Storage, key: str) -> bool:
    """Whether the store has this pretrained body; adds its `card.json` where that was lost on the way."""
    if has_card(storage, key):
        return True
    if storage.kind(_model_path(key)) != "file":
        return False
    storage.commit(_card_path(key), _card_of(storage.read(_model_path(key))))
    return True


def read_state(storage: Storage, key: str) -> dict[str, torch.Tensor]:
    """The tensors of a pretrained body.

    Raises:
        FileNotFoundError: it is not in the store.
    """
    return safetensors.torch.load(storage.read(_model_path(key)))


def has_card(storage: Storage, key: str) -> bool:
    """Whether the store has this card."""
    return storage.kind(_card_path(key)) == "file"


def read_card(storage: Storage, key: str) -> dict[str, Any]:
    """A card that is in the store."""
    return json.loads(storage.read(_card_path(key)))


def publish(storage: Storage, state: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> dict[str, Any]:
    """Commit a pretrained body under its card's key; returns the card of the body that is there.

    Where another process was first, its body stays.
    """
    key = card["key"]
    storage.commit(_model_path(key), safetensors.torch.save(dict(state), metadata={"card": _text(card)}))
    assert has_body(storage, key)
    return read_card(storage, key)


def publish_card(storage: Storage, card: Mapping[str, Any]) -> None:
    """Commit the card of a body that is not kept; the first one stays."""
    storage.commit(_card_path(card["key"]), _text(card).encode())


def _text(card: Mapping[str, Any]) -> str:
    return json.dumps(card, indent=1, allow_nan=False)


def _card_of(model: bytes) -> bytes:
    """The card inside a safetensors file: its first 8 bytes are the length of a JSON header with the metadata."""
    length = int.from_bytes(model[:8], "little")
    return json.loads(model[8 : 8 + length])["__metadata__"]["card"].encode()


def _model_path(key: str) -> str:
    return f"bodies/{key}/model.safetensors"


def _card_path(key: str) -> str:
    return f"bodies/{key}/card.json"
