"""The training engine: one pack of K runs from its specifications to its measurements. Knows neither Ray nor files.

A step never waits for the device: losses, accuracies and the first step that was not finite are kept there and read at
the next evaluation. A run that diverged, or reached its last step, leaves the pack; the others go on with theirs.

Shapes: K runs, P trained parameters of one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from models.bodies import Architecture
from models.randomness import DropoutStreams, NormalStreams
from models.states import State
from study.assemble import assemble, cost_of
from study.batches import derive_seed, evaluate, losses, stack, take_rows, training_batches
from study.cached import cache_features
from study.first_attention import FirstAttention
from study.measurements import Measurement, Metrics, Standing
from study.optimiser import PackedAdam, learning_rate
from study.spec import Features, RunSpec
from tasks.base import Batch, Split, Task

_NEVER = torch.iinfo(torch.int64).max
_PAUSE_SECONDS = 2.0
"""Updates are made about this long without a pause."""


class Training:
    """K runs that share shapes; `rounds` trains them.

    Args:
        runs: specifications that may be packed together (`study.packing`).
        task: their task, made with their protocol and arguments.
        architecture: their body without weights.
        bodies: per run the state of its body; runs that share a body pass the same object.
        device: where everything happens.
        master_dtype: precision of trained tensors; float64 serves as a reference.

    Raises:
        ValueError: the task does not fit the body, or a data set is smaller than asked for.
        tasks.files.MissingData, tasks.files.DamagedData: from the task.
    """

    def __init__(
        self,
        runs: Sequence[RunSpec],
        *,
        task: Task,
        architecture: Architecture,
        bodies: Sequence[State],
        device: torch.device,
        master_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.task, self.device = task, device
        # Packed runs have the same shapes and train the same groups, so one cost serves them all.
        cost = cost_of(runs[0], task.layout, architecture)
        self.runs = [Standing(spec, cost) for spec in runs]
        self.model = assemble(
            runs, layout=task.layout, architecture=architecture, bodies=bodies, device=device, master_dtype=master_dtype
        )
        num_train = runs[0].num_train_examples
        self.streams = [task.stream(derive_seed("data", run.seed), device, num_train) for run in runs]
        self.normals = NormalStreams.seeded([derive_seed("states", run.seed) for run in runs], device)
        self.model.pack.normals = self.normals
        self._forward: Callable[..., torch.Tensor] = self.model
        # Splits that stay on the device: validation, or every split as cached features.
        self._held: dict[Split, Batch] = {}
        self._is_cached = runs[0].features is Features.CACHED
        if self._is_cached:
            self.streams, self._held = cache_features(self.model, task, self.streams, runs)
            self._forward = self._readout
        self.dropout = DropoutStreams([derive_seed("dropout", run.seed) for run in runs], device)
        self.optimiser = PackedAdam(
            self.model.matrix,
            num_decayed=self.model.num_decayed,
            weight_decay=[run.weight_decay for run in runs],
            clip_norm=[run.clip_norm for run in runs],
        )
        self._attention = FirstAttention(self.model, task=task, architecture=architecture, runs=runs)
        self.step = 0
        self.best = self.model.matrix.detach().clone()
        self._first_bad = torch.full((len(runs),), _NEVER, device=device)
        # Sums of loss and accuracy over each run's updates since its last evaluation, [2, K].
        self._sums = torch.zeros(2, len(runs), dtype=master_dtype, device=device)

    def rounds(self) -> Iterator[list[Measurement]]:
        """Train to the end: what each evaluation measured, and an empty list every few seconds in between.

        After each list from the second on, `state_dict` may be taken.
        """
        if self.step == 0:
            yield self._evaluate()
        while self.runs:
            # A state that was taken between two evaluations continues in between.
            if any(run.is_due(self.step) for run in self.runs):
                ended = self._finish()
                if ended:
                    yield ended
            if self.runs:
                every = self.runs[0].spec.eval_every_steps
                yield from self._approach(min((self.step // every + 1) * every, *(r.spec.num_steps for r in self.runs)))
                yield self._evaluate()

    def _approach(self, stop: int) -> Iterator[list[Measurement]]:
        """Updates up to a step, with pauses."""
        num_steps = 1
        while self.step < stop:
            started = time.perf_counter()
            self.advance(min(num_steps, stop - self.step))
            num_steps = max(1, round(num_steps * _PAUSE_SECONDS / (time.perf_counter() - started)))
            if self.step < stop:
                yield []

    def advance(self, num_steps: int) -> None:
        """That many updates of every run, without evaluation."""
        specs = [run.spec for run in self.runs]
        steps = range(self.step + 1, self.step + num_steps + 1)
        rates = self.model.matrix.new_tensor([[learning_rate(spec, step) for spec in specs] for step in steps])
        self.model.pack.dropout = self.dropout
        started = time.perf_counter()
        batches = training_batches(self.streams, batch_size=specs[0].batch_size, num_steps=num_steps)
        for batch, lr in zip(batches, rates, strict=True):
            self._update(batch, lr)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        share = (time.perf_counter() - started) / len(self.runs)
        for run in self.runs:
            run.worked(num_steps, share)

    def _update(self, batch: Batch, lr: torch.Tensor) -> None:
        self.step += 1
        self.model.refresh()
        loss, accuracy = losses(self._forward(batch.inputs, batch.lengths), batch.targets)
        (gradients,) = torch.autograd.grad(loss.sum(), self.model.matrix)
        norms = self.optimiser.step(self.step, gradients=gradients, lr=lr)
        loss = loss.detach()
        self._sums += torch.stack([loss, accuracy])
        is_bad = ~(torch.isfinite(loss) & torch.isfinite(norms))
        self._first_bad = torch.where(is_bad, self._first_bad.clamp(max=self.step), self._first_bad)

    def _readout(self, features: torch.Tensor, _lengths: None) -> torch.Tensor:
        return self.model.readout(features.flatten(0, 1))

    def _split(self, name: Split) -> Batch:
        if name in self._held:
            return self._held[name]
        if name == "train" and self.runs[0].spec.num_train_examples is not None:
            return stack([stream.examples() for stream in self.streams])
        batch = self.task.split(name, self.device)
        if name == "valid":
            self._held[name] = batch
        return batch

    def _measure(self, split: Split, matrix: torch.Tensor, rows: Sequence[int]) -> Metrics:
        """The runs `rows` with their parameters in `matrix`, over a whole split."""
        batch = take_rows(self._split(split), rows)
        num_tokens = 1 if self._is_cached else self.task.layout.num_tokens
        with self.model.evaluating(matrix, rows):
            loss, accuracy = evaluate(self._forward, batch, num_runs=len(rows), num_tokens=num_tokens)
        return Metrics(loss, [value * self.task.accuracy_scale for value in accuracy])

    def _evaluate(self) -> list[Measurement]:
        """Validate the runs that are due, remember their best, and tell what was measured since their last time."""
        due = [row for row, run in enumerate(self.runs) if run.is_due(self.step)]
        matrix = self.model.matrix.detach()
        valid = self._measure("valid", matrix[due], due)
        loss_sums, accuracy_sums = self._sums[:, due].tolist()
        self._sums[:, due] = 0.0
        num_valid = self._split("valid").targets.shape[-2]
        told: list[Measurement] = []
        for position, row in enumerate(due):
            run, loss, accuracy = self.runs[row], valid.loss[position], valid.accuracy[position]
            if run.select(self.step, loss=loss, accuracy=accuracy):
                self.best[row] = matrix[row]
            accuracy_sum = accuracy_sums[position] * self.task.accuracy_scale
            told += run.trained(self.step, loss_sum=loss_sums[position], accuracy_sum=accuracy_sum)
            told.append(run.validated(self.step, num_examples=num_valid, loss=loss, accuracy=accuracy))
        return told

    def _finish(self) -> list[Measurement]:
        """Measure and drop the runs that diverged or are at their last step."""
        first_bad = self._first_bad.tolist()
        is_bad = [bad != _NEVER or not run.is_finite for bad, run in zip(first_bad, self.runs, strict=True)]
        ended = [row for row, run in enumerate(self.runs) if is_bad[row] or run.spec.num_steps == self.step]
        if not ended:
            return []
        test, train = (self._measure(split, self.best[ended], ended) for split in ("test", "train"))
        finished: list[Measurement] = [
            self.runs[row].finished(
                position, num_steps_done=min(first_bad[row], self.step), is_diverged=is_bad[row], test=test, train=train
            )
            for position, row in enumerate(ended)
        ]
        done = [row for row in ended if not is_bad[row]]
        finished += self._attention.rows([self.runs[row].spec for row in done], self.best[done], done)
        self._keep([row for row in range(len(self.runs)) if row not in ended])
        return finished

    def _keep(self, rows: list[int]) -> None:
        """Compact the pack to the runs `rows`."""
        self.runs = [self.runs[row] for row in rows]
        if not rows:
            return
        self.streams = [self.streams[row] for row in rows]
        self._held = {name: take_rows(batch, rows) for name, batch in self._held.items()}
        self.dropout.keep(rows)
        self.normals = self.normals.keep(rows)
        self.model.pack.normals = self.normals
        self.best, self._first_bad = self.best[rows], self._first_bad[rows]
        self.model.bind(self.model.matrix.detach()[rows], rows)
        self.optimiser.keep(rows, self.model.matrix)
        self._sums = self._sums[:, rows]

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes while training, as tensors and plain values; frozen weights are not among them."""
        return {
            "step": self.step,
            "matrix": self.model.matrix.detach(),
            "best": self.best,
            "first_bad": self._first_bad,
            "sums": self._sums,
            "optimiser": self.optimiser.state_dict(),
            "dropout": self.dropout.state_dict(),
            "normals": self.normals.state_dict(),
            "streams": [dict(stream.state_dict()) for stream in self.streams],
            "runs": [run.state_dict() for run in self.runs],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue bit-identically (on the same machine) from the state of a pack that began with the same runs."""
        ids = [run.spec.run_id for run in self.runs]
        self._keep([ids.index(saved["run_id"]) for saved in state["runs"]])
        for run, saved in zip(self.runs, state["runs"], strict=True):
            run.load_state_dict(saved)
        for stream, saved in zip(self.streams, state["streams"], strict=True):
            stream.load_state_dict(saved)
        self.step = state["step"]
        self.model.matrix.detach().copy_(state["matrix"])
        self.best.copy_(state["best"])
        self._first_bad.copy_(state["first_bad"])
        self._sums.copy_(state["sums"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.dropout.load_state_dict(state["dropout"])
        self.normals.load_state_dict(state["normals"])
