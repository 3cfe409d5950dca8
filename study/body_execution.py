"""One body from its recipe to the store: the work of a trial, without Ray.

OUT/checkpoints/body-<key>.safetensors   its state while it is made, so that any worker of any cluster can continue it

A process that wants a body which another one is making waits for it, and goes on in its place if that one dies.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from study.bodies import BodySource
from study.body_cards import pretrained_card
from study.body_store import has_body, publish
from study.checkpoints import PERIOD_SECONDS
from study.errors import StorageError, one_line
from study.execution import FAILURES, CommitFailed
from study.exhaustion import is_lasting
from study.lease import Lease
from study.ledger import Ledger
from study.pretrain import Pretraining
from study.pretraining_steps import precision_on
from study.provenance import versions
from study.state_file import BAD_STATE, LEAST_SECONDS, StateFile
from study.tally import Tally
from tasks.files import MissingData

MAX_THREADS = 4
"""Threads that one pretraining gets at most: matrices of nano and mini do not fill more."""
_POLL_SECONDS = 1.0


class BodyExecution:
    """Makes one body and publishes it; a failure is told, not raised: the runs that need the body get a row of it.

    Args:
        source: what to make.
        ledger: whose store it goes to.
        revision: git revision of the code, for the card.
        device: where to train.
        checkpoint_seconds: between two states, if writing one takes less than 2 % of that.
        lease: for tests; that of the body by default.
    """

    def __init__(
        self,
        source: BodySource,
        *,
        ledger: Ledger,
        revision: str | None,
        device: torch.device,
        checkpoint_seconds: float = PERIOD_SECONDS,
        lease: Lease | None = None,
    ) -> None:
        self._source, self._revision, self._device = source, revision, device
        self._storage = ledger.storage
        self._lease = lease or Lease(self._storage, f"body-{source.key}")
        # What must be the same for a state to be continued. Threads and machine change the rounding only.
        stamp = {
            "key": source.key,
            "torch": versions()["torch"],
            "device": device.type,
            "precision": precision_on(device),
        }
        path = f"checkpoints/body-{source.key}.safetensors"
        self._file = StateFile(self._storage, path, what=source.name, stamp=stamp, period_seconds=checkpoint_seconds)
        self._pretraining: Pretraining | None = None
        self.tally = Tally(total=1)

    def steps(self) -> Iterator[None]:
        """Work, pausing after each update; whoever iterates may look at `tally` and report.

        Raises:
            CommitFailed: the ledger's place fails.
        """
        try:
            while not has_body(self._storage, self._source.key):
                if self._lease.try_acquire():
                    yield from self._make()
                else:
                    self._tell_of_holder()
                    yield
                    time.sleep(_POLL_SECONDS)
            self._file.remove()
        except StorageError as error:
            raise CommitFailed(one_line(error)) from None
        except (*FAILURES, MissingData) as error:
            if is_lasting(error):
                raise
            if isinstance(error, ArithmeticError):
                self._file.remove()  # the same would come of it; another error may be the machine's
            self.tally.failed = 1
            self.tally.error = f"{type(error).__name__}: {one_line(error)}"
        finally:
            self._lease.release()
        self.tally.ended, self.tally.fraction = 1, 1.0

    def stop(self) -> None:
        """Keep what was done since the last state; to be called during a pause, if no other step follows."""
        if self._pretraining is not None and self._file.age_seconds > LEAST_SECONDS:
            self._save(self._pretraining)
        self._lease.release()

    def _make(self) -> Iterator[None]:
        """Train and publish, unless somebody did between our look at the store and the lease."""
        if has_body(self._storage, self._source.key):
            return
        self._pretraining = pretraining = self._begun()
        before = pretraining.step / self._source.recipe.num_steps
        while not pretraining.is_done:
            pretraining.advance()
            self._tell(pretraining)
            self.tally.fraction = pretraining.step / self._source.recipe.num_steps
            self.tally.restored = before
            if self._file.is_due and not pretraining.is_done:
                self._save(pretraining)
            yield
        self._pretraining = None
        made = pretraining.finished()
        card = pretrained_card(self._source, made, device=self._device, revision=self._revision)
        publish(self._storage, made.state, card)

    def _begun(self) -> Pretraining:
        """A new pretraining, or one continued from the state that another worker left."""
        fresh = self._fresh()
        state = self._file.load()
        if state is None:
            return fresh
        try:
            fresh.load_state_dict(state["pretraining"])
            if self._device.type == "cpu":
                # With another number of threads sums are rounded in another order.
                torch.set_num_threads(state["threads"])
            return fresh
        except BAD_STATE as error:
            self._file.set_aside(f"{type(error).__name__}: {error}")
            return self._fresh()

    def _fresh(self) -> Pretraining:
        return Pretraining(self._source.recipe, data=self._source.data, device=self._device)

    def _save(self, pretraining: Pretraining) -> None:
        self._file.save({"pretraining": pretraining.state_dict(), "threads": torch.get_num_threads()})

    def _tell(self, pretraining: Pretraining) -> None:
        metric = pretraining.objective.metric.replace("_", " ")
        reached = pretraining.curve[-1].held_out_metric
        done = f"step {pretraining.step} of {pretraining.recipe.num_steps}, held-out {metric} {reached:.3g}"
        self._note(f"continued, {done}" if pretraining.num_resumed else done)

    def _tell_of_holder(self) -> None:
        holder = self._lease.holder()
        where = f"process {holder.pid} of {holder.host}" if holder else "another process"
        self._note(f"{where} makes it")

    def _note(self, text: str) -> None:
        self.tally.note = f"{self._source.name}: {text}"
