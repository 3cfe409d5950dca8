"""One body from its recipe to the store: the work of a trial, without Ray."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from study.bodies import BodySource, make_body
from study.execution import FAILURES, Tally
from study.ledger import Ledger


class BodyExecution:
    """Makes one body and publishes it; a failure is told, not raised: the runs that need the body get a row of it.

    Args:
        source: what to make.
        ledger: whose store it goes to.
        revision: git revision of the code, for the card.
        device: where to train.
    """

    def __init__(self, source: BodySource, *, ledger: Ledger, revision: str | None, device: torch.device) -> None:
        self._source, self._ledger, self._revision, self._device = source, ledger, revision, device
        self.tally = Tally(total=1)

    def steps(self) -> Iterator[None]:
        """Work, pausing after each point of the curve; whoever iterates may look at `tally` and report."""
        made = make_body(self._source, storage=self._ledger.storage, device=self._device, revision=self._revision)
        try:
            for point in made:
                self.tally.fraction = point.step / self._source.recipe.num_steps
                yield
        except FAILURES as error:
            self.tally.failed = 1
            self.tally.error = f"{type(error).__name__}: {error}"
        self.tally.ended, self.tally.fraction = 1, 1.0
