"""Where a result comes from: what its row says about the machine, the code and the body it started from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from models.bodies import Architecture
from models.states import State
from study.bodies import BodySource, MissingBody, load_body
from study.body_cards import body_key, record_card
from study.checkpoints import PERIOD_SECONDS
from study.provenance import device_name, versions
from study.spec import RunSpec, canonical_json
from study.storage import Storage


@dataclass(frozen=True)
class Origin:
    """What the runs of one launch have in common on one worker.

    Attributes:
        revision: git revision of the code that was launched.
        device: where to train.
        sources: run id -> body of our own that the run needs.
        body_errors: body key -> why that body could not be made.
        checkpoint_seconds: between two checkpoints of a pack.
    """

    revision: str | None
    device: torch.device
    sources: Mapping[str, BodySource] = field(default_factory=dict)
    body_errors: Mapping[str, str] = field(default_factory=dict)
    checkpoint_seconds: float = PERIOD_SECONDS

    def load_body(self, run: RunSpec, storage: Storage) -> tuple[Architecture, State]:
        """What a run starts from; the ledger gets a card that describes it.

        Raises:
            MissingBody: a body of our own could not be made, or is not in the store.
        """
        source = self.sources.get(run.run_id)
        if source is not None and source.key in self.body_errors:
            raise MissingBody(f"the {source.name} could not be made: {self.body_errors[source.key]}")
        loaded = load_body(run, storage, source)
        record_card(run, storage=storage, source=source, revision=self.revision)
        return loaded

    def columns(self, run: RunSpec) -> dict[str, Any]:
        """Columns of a run's row."""
        return {
            "device": device_name(self.device),
            "git_revision": self.revision,
            "versions": canonical_json(versions()),
            "body_key": body_key(run, self.sources.get(run.run_id)),
        }

    def stamp(self, runs: Sequence[RunSpec]) -> dict[str, Any]:
        """What must be the same for training to continue bit for bit; the code is part of the runs' ids."""
        bodies = {run.run_id: body_key(run, self.sources.get(run.run_id)) for run in runs}
        return {"device": device_name(self.device), "versions": versions(), "bodies": bodies}
