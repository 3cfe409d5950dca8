"""The card of a body: what it is, what made it, and what its tensors look like.

A pretrained body has a key of its own. Bodies that are drawn or derived share one card for all their seeds, which
describes the tensors of the first one that was met: a grid may use thousands of seeds, and a run's row has its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from models.bodies import Architecture, architecture
from models.hub import locate, weight_files
from models.tensor_statistics import tensor_statistics
from models.weights import OfflineError, stored_dtypes
from study.bodies import BodySource, checkpoint_of, load_body
from study.body_store import has_card, publish_card
from study.inits import CONTROLS, parse
from study.pretraining_results import Pretrained
from study.provenance import device_name, versions
from study.spec import RunSpec, canonical_json
from study.storage import Storage

_KEY_LENGTH = 16
# (place of the ledger, key) of cards that this process has seen.
_seen: set[tuple[str, str]] = set()


def pretrained_card(
    source: BodySource, made: Pretrained, *, device: torch.device, revision: str | None
) -> dict[str, Any]:
    """The card of a body of our own.

    Args:
        source: what was made.
        made: what came of it.
        device: where it was trained.
        revision: git revision of the code.
    """
    recipe, objective, last = source.recipe, made.objective, made.curve[-1]
    whole = architecture(recipe.body, size=recipe.size)
    return {
        "key": source.key,
        "kind": "pretrained",
        "init": source.init,
        **dataclasses.asdict(recipe),
        "task_args": dict(recipe.task_args),
        **objective.source,
        "num_tokens_seen": last.num_tokens,
        "train_flops": made.train_flops,
        "held_out_loss": last.held_out_loss,
        "metric": objective.metric,
        "held_out_metric": last.held_out_metric,
        "is_better_lower": objective.is_better_lower,
        "baseline_metric": objective.baseline,
        "curve": [dataclasses.asdict(point) for point in made.curve],
        "precision": made.precision,
        "device": device_name(device),
        "wall_seconds": last.wall_seconds,
        "num_resumed": made.num_resumed,
        **_description(whole, made.state, revision),
    }


def body_key(spec: RunSpec, source: BodySource | None) -> str | None:
    """Key of the card of the body that a run starts from; None where its checkpoint cannot be had.

    Args:
        spec: the run.
        source: the body of our own that it needs.
    """
    if source is not None and parse(spec.init).name not in CONTROLS:
        return source.key
    try:
        return _digest(_identity(spec, source))
    except (ValueError, OfflineError):
        return None


def record_card(spec: RunSpec, *, storage: Storage, source: BodySource | None, revision: str | None) -> None:
    """See to it that the ledger has the card of the body that a run starts from; looked up once per process.

    Raises:
        OfflineError, ValueError: its checkpoint cannot be had.
        study.errors.StorageError: the ledger's place fails.
    """
    key = body_key(spec, source)
    if key is None or (storage.uri, key) in _seen:
        return
    if not has_card(storage, key):
        assert source is None or source.key != key, "a pretrained body is published with its card"
        # The whole body, whatever part of it the run uses.
        whole = spec if _has_free_depth(spec) else dataclasses.replace(spec, num_layers=None)
        body, state = load_body(whole, storage, source)
        identity = _identity(spec, source)
        shown = {"init": spec.init, "body": spec.body, "size": spec.size, "body_seed": spec.body_seed}
        if name := identity.get("checkpoint"):
            shown["dtype"] = ", ".join(stored_dtypes(name))
        publish_card(storage, {"key": key, **shown, **identity, **_description(body, state, revision)})
    _seen.add((storage.uri, key))


def _identity(spec: RunSpec, source: BodySource | None) -> dict[str, Any]:
    """What makes a body that is drawn, derived or loaded, but for its seed."""
    name = None if source is not None else checkpoint_of(spec)
    loaded = None if name is None else {"kind": "loaded", "body": spec.body, **_content(name)}
    if spec.has_checkpoint:
        assert loaded is not None
        return loaded
    init = parse(spec.init)
    if init.name in CONTROLS:
        source_key = source.key if source is not None else _digest(loaded or {})
        return {"kind": "derived", "init": spec.init, "source_key": source_key}
    if loaded is not None:
        return loaded
    drawn = {"kind": "drawn", "init": spec.init, "body": spec.body, "size": spec.size}
    whole = architecture(spec.body, size=spec.size)
    if whole.as_released is not None:
        drawn["protocol"] = spec.protocol
    return drawn | ({"num_layers": spec.num_layers} if _has_free_depth(spec) else {})


def _has_free_depth(spec: RunSpec) -> bool:
    """Whether any depth makes a whole body, as of an LSTM."""
    return not spec.has_checkpoint and architecture(spec.body, size=spec.size).checkpoint is None


def _content(name: str) -> dict[str, str]:
    """A checkpoint by its name and commit; one in a folder also by the checksum of its weights."""
    located = locate(name, with_weights=True)
    if located.revision is not None:
        repository = name.removeprefix("checkpoint:").partition("@")[0]
        return {"checkpoint": f"{repository}@{located.revision}"}
    files = weight_files(located.folder)
    stamps = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return {"checkpoint": name.removeprefix("checkpoint:"), "checkpoint_checksum": _checksum(stamps)}


@cache
def _checksum(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 of files, by their path, size and time of change."""
    digest = hashlib.sha256()
    for path, _, _ in stamps:
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _description(body: Architecture, state: dict[str, torch.Tensor], revision: str | None) -> dict[str, Any]:
    """What every card says of its body."""
    return {
        "num_layers": body.num_layers,
        "num_params": sum(shape.numel() for shape in body.shapes.values()),
        "tensors": [
            {name: _plain(value) for name, value in dataclasses.asdict(each).items()}
            for each in tensor_statistics(body, state)
        ],
        "versions": versions(),
        "git_revision": revision,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _plain(value: Any) -> Any:
    """A value for JSON, in which a number that is not finite is missing."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _digest(identity: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:_KEY_LENGTH]
