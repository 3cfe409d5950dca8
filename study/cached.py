"""Output-only runs on features that the frozen body computed once (paper section 3.9: 500-2000 times faster an epoch).

The features carry no dropout and, for augmented data, no augmentation, so a cached run is a variant of its own.

Shapes: K runs, N examples, R readouts, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.fpt import PackedFPT
from study.batches import derive_seed, stack
from study.spec import RunSpec
from tasks.base import Batch, Split, Stream, Task
from tasks.streams import ArrayStream, Examples

_EXAMPLES_PER_FORWARD = 64


def cache_features(
    model: PackedFPT, task: Task, streams: Sequence[Stream], runs: Sequence[RunSpec]
) -> tuple[list[Stream], dict[Split, Batch]]:
    """Streams and splits whose inputs are features [R, D] instead of tokens.

    Returns:
        One stream per run over the finite set its own stream draws from, and the splits as batches [K, N, R, D].
    """
    rows = range(len(runs))
    with model.evaluating(model.matrix, rows):
        train = _features(model, stack([stream.examples() for stream in streams]))
        splits: dict[Split, Batch] = {
            name: _features(model, _for_each(task.split(name, model.device), len(runs))) for name in ("valid", "test")
        }
    splits["train"] = train
    cached: list[Stream] = []
    for row, run in enumerate(runs):
        examples = Examples(train.inputs[row], train.targets[row])
        cached.append(ArrayStream(examples, _as_batch, key=derive_seed("data", run.seed)))
    return cached, splits


def _as_batch(examples: Examples) -> Batch:
    return Batch(inputs=examples.inputs, targets=examples.targets)


def _for_each(batch: Batch, num_runs: int) -> Batch:
    lengths = None if batch.lengths is None else batch.lengths.expand(num_runs, *batch.lengths.shape)
    inputs, targets = (x.expand(num_runs, *x.shape) for x in (batch.inputs, batch.targets))
    return Batch(inputs=inputs, targets=targets, lengths=lengths)


def _features(model: PackedFPT, batch: Batch) -> Batch:
    num_runs, num_examples = batch.targets.shape[:2]
    parts = []
    for start in range(0, num_examples, _EXAMPLES_PER_FORWARD):
        part = slice(start, start + _EXAMPLES_PER_FORWARD)
        lengths = None if batch.lengths is None else batch.lengths[:, part]
        features = model.features(batch.inputs[:, part], lengths)
        parts.append(features.view(num_runs, -1, *features.shape[1:]))
    return Batch(inputs=torch.cat(parts, dim=1), targets=batch.targets)
