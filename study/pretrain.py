"""Making a body: the whole model is trained on one objective, then input and output layer are thrown away.

Yields measurements; knows neither Ray nor files (but for its data).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from models.bodies import architecture
from study.batches import derive_seed
from study.objectives.base import IGNORED
from study.objectives.make import make_objective
from study.pretraining_model import PretrainingModel
from study.pretraining_results import Pretrained, Progress
from study.pretraining_steps import (
    flops_per_step,
    held_out_scores,
    lr_factor,
    make_optimiser,
    precision_on,
    require_finite,
)
from study.recipes import Recipe
from tasks.base import Batch
from tasks.source import Source

_NUM_EVALUATIONS = 5


class Pretraining:
    """A body that is being made. Between any two calls of `advance` its state may be saved.

    Dropout draws from torch's global generators; they are this object's during a call, and the caller's after it.

    Args:
        recipe: what to train and how.
        data: what `study.objectives.make.data_of` found for it.
        device: where to train.

    Raises:
        ValueError: a body without this objective, or a text that is too short.
        tasks.files.DamagedData: the data cannot be read.
    """

    def __init__(self, recipe: Recipe, *, data: Source | None, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.objective = make_objective(recipe, data)
        self.precision = precision_on(device)
        self.step, self.num_resumed, self.seconds = 0, 0, 0.0
        self.curve: list[Progress] = []
        # Losses of the updates since the last point of the curve.
        self._losses: list[torch.Tensor] = []
        with torch.random.fork_rng(self._cuda_devices()):
            torch.manual_seed(derive_seed("pretraining dropout", recipe.seed))
            whole = architecture(recipe.body, size=recipe.size)
            model = PretrainingModel(whole, self.objective, seed=recipe.seed, dropout=recipe.dropout)
            self._model = model.to(device)
            self._random = self._random_state()
        self._parameters = list(model.parameters())
        self._optimiser = make_optimiser(self._model, recipe)
        held_out = self.objective.held_out
        self._held_out = Batch(held_out.inputs.to(device), held_out.targets.to(device))

    @property
    def is_done(self) -> bool:
        """All updates are done and measured."""
        return self.step == self.recipe.num_steps and not self._is_due()

    def advance(self) -> Progress | None:
        """Measure if a point of the curve is due, and return it; otherwise do one update.

        Raises:
            FloatingPointError: the loss is no longer finite.
        """
        started = time.perf_counter()
        point = None
        with torch.random.fork_rng(self._cuda_devices()):
            self._set_random_state(self._random)
            if self._is_due():
                point = self._measured(started)
            else:
                self._update()
            self._random = self._random_state()
        self.seconds += time.perf_counter() - started
        return point

    def finished(self) -> Pretrained:
        """The body, when all is done."""
        assert self.is_done
        recipe = self.recipe
        return Pretrained(
            state=self._model.body(),
            curve=tuple(self.curve),
            objective=self.objective,
            train_flops=recipe.num_steps * flops_per_step(recipe, self.objective.layout),
            precision=self.precision,
            num_resumed=self.num_resumed,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes between two calls of `advance`, as tensors and plain values."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "num_resumed": self.num_resumed,
            "curve": [asdict(point) for point in self.curve],
            "losses": torch.stack(self._losses) if self._losses else torch.empty(0),
            "model": {name: parameter.detach() for name, parameter in self._model.named_parameters()},
            "optimiser": {str(index): dict(values) for index, values in self._optimiser.state_dict()["state"].items()},
            "stream": dict(self.objective.stream.state_dict()),
            "random": self._random,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of an equal recipe: on the same machine, with as many threads, bit-identically."""
        own = dict(self._model.named_parameters())
        assert own.keys() == state["model"].keys(), "the state of another recipe"
        for name, parameter in own.items():
            parameter.detach().copy_(state["model"][name])
        # Copies: tensors that were read from a file share one buffer, in which they lie unaligned.
        moments = {int(index): _copied(values) for index, values in state["optimiser"].items()}
        self._optimiser.load_state_dict(self._optimiser.state_dict() | {"state": moments})
        self.objective.stream.load_state_dict(_copied(state["stream"]))
        self._random = _copied(state["random"])
        self._losses = list(state["losses"].clone().to(self.device))
        self.curve = [Progress(**point) for point in state["curve"]]
        self.step, self.seconds = state["step"], state["seconds"]
        self.num_resumed = state["num_resumed"] + 1

    def _is_due(self) -> bool:
        every = max(1, self.recipe.num_steps // _NUM_EVALUATIONS)
        is_time = self.step % every == 0 or self.step == self.recipe.num_steps
        return is_time and (not self.curve or self.curve[-1].step < self.step)

    def _measured(self, started: float) -> Progress:
        with self._autocast():
            loss, accuracy = held_out_scores(self._model, self._held_out)
        train_loss = torch.stack(self._losses).mean().item() if self._losses else None
        self._losses.clear()
        require_finite(self.step, loss, train_loss)
        point = Progress(
            step=self.step,
            train_loss=train_loss,
            held_out_loss=loss,
            held_out_metric=self.objective.measure(loss, accuracy),
            num_tokens=self.step * self.recipe.batch_size * self.objective.layout.num_tokens,
            wall_seconds=self.seconds + time.perf_counter() - started,
        )
        self.curve.append(point)
        return point

    def _update(self) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self.recipe.lr * lr_factor(self.step, self.recipe)
        batch = self.objective.stream.draw(self.recipe.batch_size)
        with self._autocast():
            logits = self._model(batch.inputs.to(self.device))
        targets = batch.targets.to(self.device).flatten()
        loss = F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=IGNORED)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip_norm, foreach=True)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._losses.append(loss.detach())
        self.step += 1

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        is_low = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if is_low else contextlib.nullcontext()

    def _cuda_devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []

    def _random_state(self) -> dict[str, torch.Tensor]:
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def _set_random_state(self, state: Mapping[str, torch.Tensor]) -> None:
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)


def _copied(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
