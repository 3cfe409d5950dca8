"""Which body a run starts from, and where its weights come from: drawn, pretrained by us, derived, or a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from models.bodies import Architecture, architecture
from models.initialise import body_state
from models.weights import load_checkpoint, pinned
from study.body_store import read_state
from study.inits import CONTROLS, parse
from study.objectives.make import data_of, layout_of
from study.pretraining_steps import flops_per_step
from study.recipes import Recipe, recipe_of_run
from study.spec import RunSpec
from study.storage import Storage
from tasks.files import MissingData
from tasks.source import Source


class MissingBody(Exception):
    """A body of our own is not in the store; the message says which, and why it could not be made."""


@dataclass(frozen=True)
class BodySource:
    """A pretrained body of our own that a run needs.

    Attributes:
        init: what it is pretrained on, in the grammar of `study.inits`.
        recipe: how it is made.
        data: what it is made from, None where the examples are generated.
    """

    init: str
    recipe: Recipe
    data: Source | None

    @property
    def key(self) -> str:
        """Its folder in the store."""
        return self.recipe.key(self.data.checksum if self.data else None)

    @property
    def num_tokens(self) -> int:
        """Tokens that it sees while it is made."""
        return self.recipe.num_steps * self.recipe.batch_size * layout_of(self.recipe, self.data).num_tokens

    @property
    def train_flops(self) -> float:
        """Operations of making it."""
        return self.recipe.num_steps * flops_per_step(self.recipe, layout_of(self.recipe, self.data))

    @property
    def name(self) -> str:
        """In words, for messages and progress."""
        return f"{self.init} body of {self.recipe.body} {self.recipe.size}, seed {self.recipe.seed}"


def source_of(init: str, recipe: Recipe) -> BodySource:
    """The recipe that this init means, with its data: what lies in the data folder today.

    Raises:
        tasks.files.MissingData: they are neither here nor to be fetched.
    """
    return BodySource(init, recipe, data_of(recipe))


def resolve(specs: Iterable[RunSpec]) -> tuple[dict[str, BodySource], dict[str, str]]:
    """The bodies of our own that runs need, each looked up once.

    Returns:
        Run id -> its body; and run id -> why it cannot be made, for runs whose data are neither here nor to be fetched.

    Raises:
        UserError: a tokenizer that is none.
    """
    found: dict[tuple[str, Recipe], BodySource | str] = {}
    sources: dict[str, BodySource] = {}
    lacking: dict[str, str] = {}
    for spec in specs:
        recipe = recipe_of_run(spec)
        if recipe is None:
            continue
        key = (str(parse(spec.init).pretrained), recipe)
        if key not in found:
            try:
                found[key] = source_of(*key)
            except MissingData as error:
                found[key] = str(error)
        answer = found[key]
        if isinstance(answer, str):
            lacking[spec.run_id] = answer
        else:
            sources[spec.run_id] = answer
    return sources, lacking


def checkpoint_of(spec: RunSpec) -> str | None:
    """Name of the checkpoint that a run without a body of our own starts from; None where its body is drawn."""
    if spec.has_checkpoint:
        return spec.init
    pretrained = parse(spec.init).pretrained
    return None if pretrained is None else pinned(spec.body, pretrained.name, spec.size)


def load_body(
    spec: RunSpec, storage: Storage, source: BodySource | None = None
) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """The architecture and the state that a run starts from, float32 on the CPU.

    Args:
        spec: the run.
        storage: of the ledger.
        source: what `resolve` said of the run where it was launched.

    Raises:
        MissingBody: a body of our own is not in the store.
        models.weights.OfflineError: a checkpoint is neither cached nor to be fetched.
        ValueError: a checkpoint that does not fit, or more layers than the body has.
    """
    name = None if source is not None else checkpoint_of(spec)
    is_control = not spec.has_checkpoint and parse(spec.init).name in CONTROLS
    if name is not None and not is_control:
        return load_checkpoint(name, body=spec.body, num_layers=spec.num_layers)
    body = architecture(spec.body, size=spec.size, num_layers=spec.num_layers, protocol=spec.protocol)
    whole = None
    if source is not None:
        whole = _made(storage, source)
    elif name is not None:
        _, whole = load_checkpoint(name, body=spec.body, num_layers=spec.num_layers)
    if whole is None or is_control:
        return body, body_state(body, parse(spec.init).name, seed=spec.body_seed, source=whole)
    return body, {tensor: whole[tensor] for tensor in body.shapes}


def _made(storage: Storage, source: BodySource) -> dict[str, torch.Tensor]:
    try:
        return read_state(storage, source.key)
    except FileNotFoundError:
        place = f"{storage.uri}/bodies/{source.key}"
        raise MissingBody(f"the {source.name} is not in {place}; `study pretrain` makes it") from None
