"""Making a body: the whole model is trained on one objective, then input and output layer are thrown away.

Yields measurements; knows neither Ray nor files (but for its data). AdamW with betas (0.9, 0.95), decay on matrices
only, gradient clipping and a cosine after a short warm-up, as GPT-3 (Brown et al. 2020, appendix B) and most since.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from models import TRAINABLE
from models.bodies import Architecture, architecture
from models.cost import cost
from study.batches import derive_seed
from study.objectives.base import IGNORED, Objective
from study.objectives.make import make_objective
from study.pretraining_model import PretrainingModel
from study.recipes import Recipe
from tasks.base import Batch
from tasks.source import Source

_BETAS = (0.9, 0.95)
_FINAL_LR = 0.05
"""Learning rate at the last step, as a share of the highest."""
_NUM_EVALUATIONS = 5
_EVALUATION_EXAMPLES = 128


@dataclass(frozen=True)
class Progress:
    """One point of the curve.

    Attributes:
        step: updates done.
        train_loss: mean of the batches since the point before, nats per prediction.
        held_out_loss: on the held-out set, nats per prediction.
        held_out_metric: the objective's figure of merit on the held-out set.
        num_tokens: tokens seen.
        wall_seconds: since the start.
    """

    step: int
    train_loss: float | None
    held_out_loss: float
    held_out_metric: float
    num_tokens: int
    wall_seconds: float


@dataclass(frozen=True)
class Pretrained:
    """The finished body.

    Attributes:
        state: its tensors, float32 on the CPU, under the names of `Architecture.shapes`.
        metric: name of the objective's figure of merit.
        train_flops: operations of all updates.
        precision: number format of matrix products on this machine.
        source: what it was trained on.
    """

    state: dict[str, torch.Tensor]
    metric: str
    train_flops: float
    precision: str
    source: dict[str, str]


def pretrain(recipe: Recipe, *, data: Source | None, device: torch.device) -> Iterator[Progress | Pretrained]:
    """Train a body from scratch; yields its curve, the untrained model included, and last the body.

    Args:
        recipe: what to train and how.
        data: what `study.objectives.make.data_of` found for it.
        device: where to train.

    Raises:
        ValueError: a body without this objective, or a text that is too short.
        tasks.files.DamagedData: the data cannot be read.
        FloatingPointError: the loss is no longer finite.
    """
    objective = make_objective(recipe, data)
    body = architecture(recipe.body, size=recipe.size)
    torch.manual_seed(derive_seed("pretraining dropout", recipe.seed))
    model = PretrainingModel(body, objective, seed=recipe.seed, dropout=recipe.dropout).to(device)
    precision = precision_on(device)
    yield from _updates(model, objective, recipe, device, precision)
    yield Pretrained(
        state=model.body(),
        metric=objective.metric,
        train_flops=recipe.num_steps * flops_per_step(recipe, objective, body),
        precision=precision,
        source=objective.source,
    )


def flops_per_step(recipe: Recipe, objective: Objective, body: Architecture) -> float:
    """Operations of one update of the whole model."""
    layout = objective.layout
    return cost(
        body,
        num_tokens=layout.num_tokens,
        num_features=layout.num_features,
        num_symbols=layout.num_symbols,
        num_readouts=layout.num_readouts,
        num_outputs=layout.num_targets * layout.num_classes,
        groups=TRAINABLE,
        batch_size=recipe.batch_size,
        precision="fp32",
    ).train_flops_per_step


def precision_on(device: torch.device) -> str:
    """bf16 where the hardware multiplies it faster than fp32, which processors without AMX or AVX512-BF16 do not."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "fp32"


def _updates(
    model: PretrainingModel, objective: Objective, recipe: Recipe, device: torch.device, precision: str
) -> Iterator[Progress]:
    parameters = list(model.parameters())
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1 and p is not model.positions],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim < 2 or p is model.positions], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.lr, betas=_BETAS, fused=True)
    autocast = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    every = max(1, recipe.num_steps // _NUM_EVALUATIONS)
    held_out = Batch(objective.held_out.inputs.to(device), objective.held_out.targets.to(device))
    tokens_per_step = recipe.batch_size * objective.layout.num_tokens
    started, losses = time.perf_counter(), []
    for step in range(recipe.num_steps + 1):
        if step % every == 0 or step == recipe.num_steps:
            with autocast:
                loss, accuracy = _held_out(model, held_out)
            train_loss = torch.stack(losses).mean().item() if losses else None
            _require_finite(step, loss, train_loss)
            losses.clear()
            figure = objective.measure(loss, accuracy)
            yield Progress(step, train_loss, loss, figure, step * tokens_per_step, time.perf_counter() - started)
        if step == recipe.num_steps:
            return
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * lr_factor(step, recipe)
        batch = objective.stream.draw(recipe.batch_size)
        with autocast:
            logits = model(batch.inputs.to(device))
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.to(device).flatten(), ignore_index=IGNORED)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip_norm, foreach=True)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.detach())


def _require_finite(step: int, *losses: float | None) -> None:
    if not all(loss is None or math.isfinite(loss) for loss in losses):
        raise FloatingPointError(f"the loss was no longer finite by step {step}; lower the recipe's learning rate")


def lr_factor(step: int, recipe: Recipe) -> float:
    """Learning rate of the update after `step` updates, as a share of the highest."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.num_steps - recipe.warmup_steps)
    return _FINAL_LR + (1 - _FINAL_LR) * (1 + math.cos(math.pi * progress)) / 2


@torch.no_grad()
def _held_out(model: PretrainingModel, batch: Batch) -> tuple[float, float]:
    """Mean loss in nats and accuracy over the predictions of the held-out set, without dropout."""
    model.eval()
    total_loss = total_right = 0.0
    for start in range(0, len(batch.targets), _EVALUATION_EXAMPLES):
        part = slice(start, start + _EVALUATION_EXAMPLES)
        logits, targets = model(batch.inputs[part]).flatten(0, 1), batch.targets[part].flatten()
        total_loss += F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum").item()
        total_right += (logits.argmax(-1) == targets).sum().item()
    model.train()
    num_predicted = (batch.targets != IGNORED).sum().item()
    return total_loss / num_predicted, total_right / num_predicted
