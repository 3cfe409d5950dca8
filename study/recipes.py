"""How each body of our own is pretrained, and the key under which it is stored. Imports neither torch nor ray."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, replace

from models import SIZES
from study.errors import UserError, unknown_name
from study.objectives import OBJECTIVES
from study.spec import RunSpec, Scalar, canonical_json

PRETRAINING_VERSION = 1
"""Raised by hand when a change of code may change a body; part of every key."""

# Language models of our own exist where the hub has none.
_OWN_LANGUAGE_SIZES = ("nano", "mini")
_DERIVED_INITS = ("statistics", "shuffled")
_CAUSAL_BODIES = ("gpt2", "llama")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a pretrained body, but for the corpus and the machine.

    Attributes:
        objective: a name of `study.objectives.OBJECTIVES`.
        body, size: the architecture, always at its full depth.
        num_steps, batch_size: updates, and examples per update.
        num_tokens: window of text; None where the task's arguments say it.
        task_args: (name, value) pairs for an objective that is a task.
        lr: highest learning rate, of AdamW.
        warmup_steps: linear warm-up; then a cosine.
        weight_decay: on matrices.
        clip_norm: largest gradient norm.
        dropout: probability at every site.
        seed: of initial values, data and dropout: a run's `body_seed`.
    """

    objective: str
    body: str
    size: str
    num_steps: int
    batch_size: int
    num_tokens: int | None
    task_args: tuple[tuple[str, Scalar], ...] = ()
    lr: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float = 1.0
    dropout: float = 0.0
    seed: int = 0

    def key(self, corpus_checksum: str | None) -> str:
        """The body's name in the store: first 16 hex digits of SHA-256 of what made it."""
        identity = {**dataclasses.asdict(self), "corpus": corpus_checksum, "pretraining_version": PRETRAINING_VERSION}
        return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:16]


# Measured for gpt2 nano on one core in fp32: 9,600 tokens per second where nothing else ran, half of that on a busy
# machine. With 700,000 to 800,000 tokens of CPython's documentation, 8 windows of 64 bytes ended at 1.98 bits per byte
# (lr 3e-3 and 6e-3 alike), 4 windows at 2.04, 4 of 128 bytes at 2.42 and an untied output at 2.37; with 1,400 steps of
# them 2.06, with 1,100 2.20, with the 900 of this recipe, which the quickstart has time for (82 s), 2.38. No dropout:
# one pass does not overfit.
_LANGUAGE_NANO = Recipe(
    objective="language",
    body="gpt2",
    size="nano",
    num_steps=900,
    batch_size=8,
    num_tokens=64,
    lr=4e-3,
    warmup_steps=45,
    weight_decay=0.1,
)
# The paper's five strings, but of 100 bits in patches of 20: 30 tokens, so that a step is cheap, and half of a patch
# tells the strings apart. These steps take 50 s and reach 98.6 % (floor: 75 %); with patches of 10 bits 739
# steps of three strings reached 97.9 %. Endless data need no regularisation.
_BIT_MEMORY_NANO = Recipe(
    objective="bit-memory",
    body="gpt2",
    size="nano",
    num_steps=600,
    batch_size=16,
    num_tokens=None,
    task_args=(("num_patterns", 5), ("num_bits", 100), ("patch_size", 20)),
    lr=3e-3,
    warmup_steps=30,
    weight_decay=0.01,
)
_NANO = {"language": _LANGUAGE_NANO, "bit-memory": _BIT_MEMORY_NANO}
# Larger bodies: more steps of a lower rate, falling with the width to GPT-2's customary 6e-4 at base. Not measured.
_LARGER = {
    "mini": {"num_steps": 6000, "batch_size": 16, "lr": 1.5e-3, "warmup_steps": 300},
    "base": {"num_steps": 20000, "batch_size": 32, "lr": 6e-4, "warmup_steps": 1000},
    "medium": {"num_steps": 40000, "batch_size": 32, "lr": 3e-4, "warmup_steps": 2000},
    "large": {"num_steps": 40000, "batch_size": 32, "lr": 2.5e-4, "warmup_steps": 2000},
    "xl": {"num_steps": 40000, "batch_size": 32, "lr": 2e-4, "warmup_steps": 2000},
}
_LARGER_WINDOW = 256


def recipe_for(objective: str, *, body: str, size: str, seed: int = 0, num_steps: int | None = None) -> Recipe:
    """The recipe of a body.

    Args:
        objective: a name of `study.objectives.OBJECTIVES`.
        body, size: names of `models.BODIES` and `models.SIZES`.
        seed: the run's `body_seed`.
        num_steps: instead of the recipe's own; the warm-up keeps its share.

    Raises:
        UserError: an unknown name, a body that cannot learn the objective, or no steps at all.
    """
    if objective not in OBJECTIVES:
        raise unknown_name("pretraining objective", objective, OBJECTIVES)
    if body not in SIZES:
        raise unknown_name("body", body, SIZES)
    if size not in SIZES[body]:
        raise unknown_name(f"size of {body}", size, SIZES[body])
    if objective == "language" and body not in _CAUSAL_BODIES:
        raise UserError(f"body {body} sees both ways and cannot predict the next byte; use {', '.join(_CAUSAL_BODIES)}")
    if num_steps is not None and num_steps < 1:
        raise UserError(f"num_steps must be at least 1, not {num_steps}")
    recipe = replace(_NANO[objective], body=body, size=size, seed=seed, **_LARGER.get(size, {}))
    if recipe.num_tokens is not None and size != "nano":
        recipe = replace(recipe, num_tokens=_LARGER_WINDOW)
    if num_steps is None:
        return recipe
    return replace(recipe, num_steps=num_steps, warmup_steps=recipe.warmup_steps * num_steps // recipe.num_steps)


def recipe_of_run(spec: RunSpec) -> Recipe | None:
    """How the body of our own that a run needs is made; None where it is drawn from a seed or loaded from a checkpoint.

    `statistics` and `shuffled` are made from the language body of seed 0: their own seed says how.
    """
    is_derived = spec.init in _DERIVED_INITS
    objective = "language" if is_derived else spec.init
    is_own = objective == "bit-memory" or (objective == "language" and spec.size in _OWN_LANGUAGE_SIZES)
    if not is_own or spec.size is None:
        return None
    return recipe_for(objective, body=spec.body, size=spec.size, seed=0 if is_derived else spec.body_seed)
