"""K training streams side by side, and metrics over a whole split for K runs at once.

Shapes: K runs, B examples per run and step, N examples of a split, S steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F

from tasks.base import Batch, Stream

# A run draws several steps at once, as long as they take no more than this; it saves calls, not memory.
_DRAW_BYTES = 2 << 20
# Tokens of one evaluation batch of each run: enough to fill the device, few enough for its caches and memory. The same
# whatever the pack, because a body that draws random states (the released LSTM) draws them batch by batch.
_EVALUATION_TOKENS = {"cpu": 1 << 10, "cuda": 1 << 13}


def derive_seed(purpose: str, seed: int) -> int:
    """A seed of its own for each use of a run's seed, so that no two generators of a run agree (63 bits)."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{seed}".encode()).digest()[:8]) >> 1


def stack(batches: Sequence[Batch]) -> Batch:
    """K batches of equal shapes as one, with a leading K axis."""
    lengths = [batch.lengths for batch in batches if batch.lengths is not None]
    return Batch(
        inputs=torch.stack([batch.inputs for batch in batches]),
        targets=torch.stack([batch.targets for batch in batches]),
        lengths=torch.stack(lengths) if lengths else None,
    )


def training_batches(streams: Sequence[Stream], *, batch_size: int, num_steps: int) -> Iterator[Batch]:
    """The next `num_steps` batches [K, B, ...]; afterwards no stream is ahead, so its state can be saved."""
    done, steps_per_draw = 0, 1
    while done < num_steps:
        steps = min(steps_per_draw, num_steps - done)
        drawn = stack([stream.draw(steps * batch_size) for stream in streams])
        for step in range(steps):
            rows = slice(step * batch_size, (step + 1) * batch_size)
            lengths = None if drawn.lengths is None else drawn.lengths[:, rows]
            yield Batch(inputs=drawn.inputs[:, rows], targets=drawn.targets[:, rows], lengths=lengths)
        done += steps
        bytes_per_step = drawn.inputs[0].nbytes // steps
        steps_per_draw = max(1, _DRAW_BYTES // max(1, bytes_per_step))


def losses(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy and accuracy of each run, [K] and [K].

    Args:
        logits: [K, B, R * M, C].
        targets: [K, B, R * M] class indices.
    """
    num_runs = logits.shape[0]
    loss = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), reduction="none").view(num_runs, -1).mean(1)
    right = (logits.detach().argmax(-1) == targets).view(num_runs, -1)
    return loss, right.to(loss.dtype).mean(1)


def take_rows(batch: Batch, rows: Sequence[int]) -> Batch:
    """The sets [K, N, ...] of the runs `rows` only; a batch [N, ...] that all runs share stays as it is."""
    if batch.targets.ndim == 2:
        return batch
    index = list(rows)
    lengths = None if batch.lengths is None else batch.lengths[index]
    return Batch(inputs=batch.inputs[index], targets=batch.targets[index], lengths=lengths)


def evaluate(
    forward: Callable[..., torch.Tensor], batch: Batch, *, num_runs: int, num_tokens: int
) -> tuple[list[float], list[float]]:
    """Loss and accuracy of each run over a whole split; to be called within `PackedFPT.evaluating`.

    Args:
        forward: logits [K, B, R * M, C] of inputs and lengths.
        batch: [N, ...] the same for all runs, or [K, N, ...] one set per run.
        num_runs: K.
        num_tokens: tokens per example, which decide how many examples are taken at once.
    """
    is_shared = batch.targets.ndim == 2
    inputs, targets = (x.expand(num_runs, *x.shape) if is_shared else x for x in (batch.inputs, batch.targets))
    lengths = batch.lengths
    if lengths is not None and is_shared:
        lengths = lengths.expand(num_runs, *lengths.shape)
    num_examples = targets.shape[1]
    device = targets.device
    size = max(1, _EVALUATION_TOKENS[device.type] // num_tokens)
    totals = torch.zeros(2, num_runs, dtype=torch.float64, device=device)
    for start in range(0, num_examples, size):
        part = slice(start, start + size)
        logits = forward(inputs[:, part], None if lengths is None else lengths[:, part])
        loss, accuracy = losses(logits, targets[:, part])
        totals += torch.stack([loss, accuracy]).double() * logits.shape[1]
    loss, accuracy = (totals / num_examples).tolist()
    return loss, accuracy
