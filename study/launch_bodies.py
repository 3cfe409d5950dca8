"""Making one body by name: `study pretrain`."""

from __future__ import annotations

from typing import Any

from study.cluster import connected
from study.errors import UserError
from study.ledger import Ledger
from study.storage import absolute


def run_pretraining(
    init: str,
    *,
    body: str,
    size: str,
    out: str,
    num_steps: int | None = None,
    seed: int = 0,
    address: str | None = None,
) -> dict[str, Any]:
    """Make one body where the store does not have it; returns its card.

    Raises:
        UserError: an objective, body or size that does not exist, or pretraining failed.
    """
    from study.bodies import has_body, read_card, source_of
    from study.recipes import recipe_for
    from study.rounds import Launch, run_round

    source = source_of(recipe_for(init, body=body, size=size, seed=seed, num_steps=num_steps))
    ledger = Ledger(absolute(out))
    if not has_body(ledger.storage, source.key):
        ledger.prepare()
        with connected(address):
            errors = run_round(Launch(ledger), [source], [])
        if errors:
            raise UserError(f"the {source.name} could not be made: {errors[source.key]}")
    return read_card(ledger.storage, source.key)
