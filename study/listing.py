"""`study list`: what there is, one line each."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from models import BODIES, CHECKPOINT_PREFIX, INITS, SIZES, TRAIN_SETS, TRAINABLE, Part
from models.sizes import FORM
from study.grids import GRIDS, grid_function, load_grid
from study.reply import Reply, table
from tasks import TASKS


def answer(what: str | None) -> Reply:
    """One of the lists, or all of them."""
    chosen = [what] if what else list(_LISTS)
    found = {name: _LISTS[name]() for name in chosen}
    tables = [table(name, ("name", "what it is"), list(lines.items())) for name, lines in found.items()]
    return Reply(found, tables)


def _grids() -> dict[str, str]:
    return {name: f"{_first_line(grid_function(name))} {len(load_grid(name))} runs." for name in GRIDS}


def _tasks() -> dict[str, str]:
    lines = {}
    for name, place in TASKS.items():
        module, _, attribute = place.partition(":")
        lines[name] = _first_line(getattr(importlib.import_module(module), attribute))
    return lines


def _models() -> dict[str, str]:
    return {body: ", ".join((*SIZES[body], FORM)) for body in BODIES}


def _inits() -> dict[str, str]:
    named = f"any checkpoint of these bodies, optionally at a revision: {CHECKPOINT_PREFIX}gpt2@main, with size None"
    argued = "which one: language:wikitext-103, vision:cifar10, dyck:8, shuffled:vision, ... (docs/pretraining.md)"
    return {**INITS, "<name>:<argument>": argued, f"{CHECKPOINT_PREFIX}<folder or hub id>[@revision]": named}


def _train_sets() -> dict[str, str]:
    named = {name: " + ".join(groups) for name, groups in TRAIN_SETS.items()}
    return {**named, "<group>+<group>": f"any of {', '.join((*TRAINABLE, *Part))} (that of the last layer alone)"}


def _claims() -> dict[str, str]:
    from analysis.claims import REGISTRY  # pandas and scipy, for this list alone

    return {claim.id: f"{claim.sentence} ({claim.source})" for claim in REGISTRY.values()}


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


_LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "grids": _grids,
    "tasks": _tasks,
    "models": _models,
    "inits": _inits,
    "train-sets": _train_sets,
    "claims": _claims,
}
