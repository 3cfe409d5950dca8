"""From specifications to one packed model: each run's own input and output layer, and the body it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch

from models.bodies import Architecture
from models.cost import Cost, cost
from models.fpt import PackedFPT
from models.heads import Heads
from models.initialise import input_layer, output_layer
from models.states import State, run_state
from study.batches import derive_seed
from study.spec import Precision, RunSpec
from tasks.base import Layout


def heads_of(layout: Layout) -> Heads:
    """The numbers of a task's layout that the model needs; the two classes keep tasks and models apart."""
    return Heads(**{item.name: getattr(layout, item.name) for item in fields(Heads)})


def cost_of(spec: RunSpec, layout: Layout, architecture: Architecture) -> Cost:
    """Parameters, FLOPs and memory of one run."""
    return cost(
        architecture,
        num_tokens=layout.num_tokens,
        num_features=layout.num_features,
        num_symbols=layout.num_symbols,
        num_readouts=layout.num_readouts,
        num_outputs=layout.num_targets * layout.num_classes,
        groups=spec.groups,
        batch_size=spec.batch_size,
        precision=spec.precision.value,
    )


def assemble(
    runs: Sequence[RunSpec],
    *,
    layout: Layout,
    architecture: Architecture,
    bodies: Sequence[State],
    device: torch.device,
    master_dtype: torch.dtype = torch.float32,
) -> PackedFPT:
    """The packed model of runs that share shapes, before their first update.

    Args:
        bodies: per run the state of its body; the same object for runs that share it.
        master_dtype: precision of trained tensors, and of everything under fp32.

    Raises:
        ValueError: the task has more tokens than the body has positions.
    """
    first = runs[0]
    cast = {id(body): {name: tensor.to(master_dtype) for name, tensor in body.items()} for body in bodies}
    states = [
        run_state(
            cast[id(body)],
            _ends(run, layout, architecture.width, master_dtype),
            architecture=architecture,
            num_tokens=layout.num_tokens,
        )
        for run, body in zip(runs, bodies, strict=True)
    ]
    return PackedFPT(
        architecture,
        heads=heads_of(layout),
        states=states,
        groups=first.groups,
        dropout=first.dropout,
        device=device,
        compute_dtype=torch.bfloat16 if first.precision is Precision.BF16 else master_dtype,
    )


def _ends(run: RunSpec, layout: Layout, width: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A run's input and output layer, from its own seed."""
    generator = torch.Generator().manual_seed(derive_seed("layers", run.seed))
    first = input_layer(
        num_features=layout.num_features,
        num_symbols=layout.num_symbols,
        width=width,
        gain=run.orthogonal_gain,
        generator=generator,
    )
    num_outputs = layout.num_targets * layout.num_classes
    last = output_layer(width=width, num_outputs=num_outputs, generator=generator)
    ends = {f"input.{name}": tensor for name, tensor in first.items()}
    ends |= {f"output.{name}": tensor for name, tensor in last.items()}
    return {name: tensor.to(dtype) for name, tensor in ends.items()}
