"""Bodies of our own: which one a run needs, and the store in which each is made once.

OUT/bodies/<key>/model.safetensors   the tensors, and the card in the file's own metadata
OUT/bodies/<key>/card.json           the card once more, for people and for the report

The tensors and their card are one file, committed at once: whoever comes second finds a whole body and uses it, and a
process that dies leaves either nothing or everything. `card.json` is a copy that anybody may add.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import safetensors.torch
import torch

from models.bodies import Architecture, architecture
from models.initialise import DERIVED_INITS, DRAWN_INITS, body_state
from models.weights import load_checkpoint, pinned
from study.objectives.make import data_of
from study.pretrain import Pretrained, Progress, pretrain
from study.provenance import device_name, versions
from study.recipes import Recipe, recipe_of_run
from study.spec import RunSpec
from study.storage import Storage
from tasks.source import Source


class MissingBody(Exception):
    """A body of our own is not in the store; the message says which, and why it could not be made."""


@dataclass(frozen=True)
class BodySource:
    """A pretrained body of our own that a run needs.

    Attributes:
        recipe: how it is made.
        data: what it is made from, None where the examples are generated.
    """

    recipe: Recipe
    data: Source | None

    @property
    def key(self) -> str:
        """Its folder in the store."""
        return self.recipe.key(self.data.checksum if self.data else None)

    @property
    def name(self) -> str:
        """In words, for messages and progress."""
        return f"{self.recipe.objective} body of {self.recipe.body} {self.recipe.size}, seed {self.recipe.seed}"


def source_of(recipe: Recipe) -> BodySource:
    """The recipe with its data: what lies in the data folder today."""
    return BodySource(recipe, data_of(recipe))


def resolve(spec: RunSpec) -> BodySource | None:
    """The body of our own that a run needs; None where it is drawn from a seed or loaded from a checkpoint."""
    recipe = recipe_of_run(spec)
    return None if recipe is None else source_of(recipe)


def load_body(
    spec: RunSpec, storage: Storage, source: BodySource | None = None
) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """The architecture and the state that a run starts from, float32 on the CPU.

    Args:
        spec: the run.
        storage: of the ledger.
        source: what `resolve` said of the run where it was launched.

    Raises:
        MissingBody: a body of our own is not in the store.
        models.weights.OfflineError: a checkpoint is neither cached nor to be fetched.
        ValueError: a checkpoint that does not fit, or more layers than the body has.
    """
    if spec.has_checkpoint or (source is None and spec.init not in (*DRAWN_INITS, *DERIVED_INITS)):
        return _checkpoint(spec)
    body = architecture(spec.body, size=spec.size, num_layers=spec.num_layers, protocol=spec.protocol)
    if spec.init in DRAWN_INITS:
        return body, body_state(body, spec.init, seed=spec.body_seed)
    if source is not None:
        whole = read_state(storage, source)
    else:
        _, whole = _checkpoint(dataclasses.replace(spec, init="language", body_seed=0))
    if spec.init in DERIVED_INITS:
        return body, body_state(body, spec.init, seed=spec.body_seed, source=whole)
    return body, {name: whole[name] for name in body.shapes}


def has_body(storage: Storage, key: str) -> bool:
    """Whether the store has this body; adds its `card.json` where that was lost on the way."""
    if storage.kind(_card_path(key)) == "file":
        return True
    if storage.kind(_model_path(key)) != "file":
        return False
    storage.commit(_card_path(key), _card_of(storage.read(_model_path(key))))
    return True


def read_state(storage: Storage, source: BodySource) -> dict[str, torch.Tensor]:
    """The tensors of a body.

    Raises:
        MissingBody: it is not in the store.
    """
    if storage.kind(_model_path(source.key)) != "file":
        raise MissingBody(f"the {source.name} is not in {storage.uri}/bodies/{source.key}; `study pretrain` makes it")
    return safetensors.torch.load(storage.read(_model_path(source.key)))


def read_card(storage: Storage, key: str) -> dict[str, Any]:
    """The card of a body that is in the store."""
    return json.loads(storage.read(_card_path(key)))


def publish(storage: Storage, key: str, state: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> dict[str, Any]:
    """Commit a body; where another process was first, its body stays. Returns the card of the body that is there."""
    text = json.dumps(card, indent=1, allow_nan=False)
    storage.commit(_model_path(key), safetensors.torch.save(dict(state), metadata={"card": text}))
    assert has_body(storage, key)
    return read_card(storage, key)


def make_body(
    source: BodySource, *, storage: Storage, device: torch.device, revision: str | None
) -> Iterator[Progress]:
    """Pretrain a body and publish it; yields its curve. Yields nothing where the store has it already.

    Args:
        source: what to make.
        storage: of the ledger.
        device: where to train.
        revision: git revision of the code, for the card.
    """
    if has_body(storage, source.key):
        return
    curve: list[Progress] = []
    for event in pretrain(source.recipe, data=source.data, device=device):
        if isinstance(event, Progress):
            curve.append(event)
            yield event
        else:
            publish(storage, source.key, event.state, _card(source, event, curve, device, revision))


def _card(
    source: BodySource, made: Pretrained, curve: list[Progress], device: torch.device, revision: str | None
) -> dict[str, Any]:
    last = curve[-1]
    return {
        "key": source.key,
        **dataclasses.asdict(source.recipe),
        "task_args": dict(source.recipe.task_args),
        **made.source,
        "num_tokens_seen": last.num_tokens,
        "train_flops": made.train_flops,
        "held_out_loss": last.held_out_loss,
        "metric": made.metric,
        "held_out_metric": last.held_out_metric,
        "curve": [dataclasses.asdict(point) for point in curve],
        "precision": made.precision,
        "device": device_name(device),
        "wall_seconds": last.wall_seconds,
        "versions": versions(),
        "git_revision": revision,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _card_of(model: bytes) -> bytes:
    """The card inside a safetensors file: its first 8 bytes are the length of a JSON header with the metadata."""
    length = int.from_bytes(model[:8], "little")
    return json.loads(model[8 : 8 + length])["__metadata__"]["card"].encode()


def _model_path(key: str) -> str:
    return f"bodies/{key}/model.safetensors"


def _card_path(key: str) -> str:
    return f"bodies/{key}/card.json"


def _checkpoint(spec: RunSpec) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """A checkpoint of the user's, or the one that the hub has for these names."""
    name = spec.init if spec.has_checkpoint else pinned(spec.body, spec.init, spec.size)
    assert name is not None, "a specification is checked for bodies that do not exist"
    return load_checkpoint(name, body=spec.body, num_layers=spec.num_layers)
