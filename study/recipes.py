"""How each body of our own is pretrained, and the key under which it is stored. Imports neither torch nor ray."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, replace
from typing import Any

from models import SIZES, sizes
from models.hub import pinned
from study import recipe_sizes
from study.errors import UserError, unknown_name
from study.inits import CONTROLS, DEFAULT_BRACKETS, DEFAULT_RULE, PRETRAINED, Init, parse
from study.spec import RunSpec, Scalar, canonical_json
from study.spec_checks import PRETRAINED_BODIES, size_of

PRETRAINING_VERSION = 2
"""Raised by hand when a change of code may change a body; part of every key. 2: streams count instead of drawing."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a pretrained body, but for the content of the data and the machine.

    Attributes:
        objective: a name of `study.inits.PRETRAINED`.
        body, size: the architecture, always at its full depth.
        num_steps, batch_size: updates, and examples per update.
        num_tokens: window of symbols; None where the task's arguments say it.
        task_args: (name, value) pairs for an objective that is a task.
        corpus: text or images, by a name of `study.inits`; None for the default, and where examples are generated.
        tokenizer: folder or hub id; None for bytes.
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
    num_tokens: int | None = None
    task_args: tuple[tuple[str, Scalar], ...] = ()
    corpus: str | None = None
    tokenizer: str | None = None
    lr: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float = 1.0
    dropout: float = 0.0
    seed: int = 0

    def key(self, data_checksum: str | None) -> str:
        """The body's name in the store: first 16 hex digits of SHA-256 of what made it.

        The checksum stands for corpus and tokenizer, so that one text under two names makes one body.
        """
        identity = {
            **dataclasses.asdict(replace(self, corpus=None, tokenizer=None)),
            "data": data_checksum,
            "pretraining_version": PRETRAINING_VERSION,
        }
        return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:16]


# Measured for gpt2 nano on one core in fp32: 9,600 tokens per second where nothing else ran, half of that on a busy
# machine. With 700,000 to 800,000 tokens of CPython's documentation, 8 windows of 64 bytes ended at 1.98 bits per byte
# (lr 3e-3 and 6e-3 alike), 4 windows at 2.04, 4 of 128 bytes at 2.42 and an untied output at 2.37; with 1,400 steps of
# them 2.06, with 1,100 2.20, with the 900 of this recipe, which the quickstart has time for (82 s), 2.39; on English
# books 2.89, where their bytes have 4.45 bits. No dropout: one pass does not overfit.
#
# What every recipe reaches, and its seconds, is in benchmarks/pretraining.md; the largest takes 80 s of one core.
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
# 60 s; ends at 5.69 bits per bracket, where the process itself has 4.95 and frequencies alone 6.99.
_DYCK_NANO = Recipe(
    objective="dyck",
    body="gpt2",
    size="nano",
    num_steps=700,
    batch_size=8,
    num_tokens=64,
    task_args=(("num_types", DEFAULT_BRACKETS),),
    lr=3e-3,
    warmup_steps=35,
    weight_decay=0.1,
)
# 20 s; every cell right after 160 steps.
_AUTOMATA_NANO = Recipe(
    objective="cellular-automata",
    body="gpt2",
    size="nano",
    num_steps=300,
    batch_size=16,
    task_args=(("rule", DEFAULT_RULE), ("num_cells", 32), ("num_rows", 24)),
    lr=3e-3,
    warmup_steps=15,
    weight_decay=0.01,
)
# 45 s, 18 passes over the digits; ends at 1.97 bits per pixel value (frequencies alone: 2.96), ViT at 90.8 % right.
_VISION_NANO = Recipe(
    objective="vision",
    body="gpt2",
    size="nano",
    num_steps=600,
    batch_size=32,
    lr=3e-3,
    warmup_steps=30,
    weight_decay=0.1,
)
_NANO = {
    "language": _LANGUAGE_NANO,
    "vision": _VISION_NANO,
    "bit-memory": _BIT_MEMORY_NANO,
    "dyck": _DYCK_NANO,
    "cellular-automata": _AUTOMATA_NANO,
}
# Bodies that see both ways learn from fewer predictions per example and want a lower rate: masked language of bert nano
# ended 500 steps at 3.74 bits per byte with 4e-3, at 3.66 with 1.5e-3; dyck at 6.50 bits with 3e-3, at 6.48 with 1e-3.
# Of an automaton they predict one row, so the examples are short and many; 95.0 % of the cells (vit 96.7 %) in 30 s.
_CAUSAL_BODIES = ("gpt2", "llama")
_BOTH_WAYS: dict[str, dict[str, Any]] = {
    "language": {"lr": 1.5e-3},
    "dyck": {"lr": 1.5e-3},
    "cellular-automata": {
        "num_steps": 600,
        "warmup_steps": 30,
        "batch_size": 32,
        "lr": 1.5e-3,
        "task_args": (("rule", DEFAULT_RULE), ("num_cells", 32), ("num_rows", 8)),
    },
}
# Larger bodies: more steps of a lower rate, falling with the width to GPT-2's customary 6e-4 at base. Not measured.
_LARGER: dict[str, dict[str, Any]] = {
    "mini": {"num_steps": 6000, "batch_size": 16, "lr": 1.5e-3, "warmup_steps": 300},
    "small": {"num_steps": 10000, "batch_size": 32, "lr": 1e-3, "warmup_steps": 500},
    "base": {"num_steps": 20000, "batch_size": 32, "lr": 6e-4, "warmup_steps": 1000},
    "medium": {"num_steps": 40000, "batch_size": 32, "lr": 3e-4, "warmup_steps": 2000},
    "large": {"num_steps": 40000, "batch_size": 32, "lr": 2.5e-4, "warmup_steps": 2000},
    "xl": {"num_steps": 40000, "batch_size": 32, "lr": 2e-4, "warmup_steps": 2000},
}
_LARGER_WINDOW = 256
# Digits need no download, but a larger body has seen each of the 1,079 hundreds of times.
_NANO_IMAGES, _LARGER_IMAGES = "digits", "cifar10"
_PATCH_SIZES = {"digits": 2}
_PATCH_SIZE = 4


def recipe_for(init: str, *, body: str, size: str, seed: int = 0, num_steps: int | None = None) -> Recipe:
    """The recipe of a body.

    Args:
        init: what to pretrain on, in the grammar of `study.inits`: "language", "cellular-automata:30", ...
        body: a name of `models.BODIES`.
        size: one of its names in `models.SIZES`, or layers and width as "2x64".
        seed: the run's `body_seed`.
        num_steps: instead of the recipe's own; the warm-up keeps its share.

    Raises:
        UserError: an unknown name, a body that is never pretrained, or no steps at all.
    """
    asked = parse(init)
    if asked.name not in PRETRAINED:
        raise unknown_name("init that is pretrained", init, PRETRAINED)
    if body not in SIZES:
        raise unknown_name("body", body, SIZES)
    size = size_of(body, size)
    if body not in PRETRAINED_BODIES:
        raise UserError(f"body {body} is never pretrained; use {', '.join(PRETRAINED_BODIES)}")
    if num_steps is not None and num_steps < 1:
        raise UserError(f"num_steps must be at least 1, not {num_steps}")
    recipe = replace(_NANO[asked.name], body=body, size=size, seed=seed)
    if body not in _CAUSAL_BODIES:
        recipe = replace(recipe, **_BOTH_WAYS.get(asked.name, {}))
    named = sizes.nearest(size)
    recipe = replace(recipe, **_LARGER.get(named, {}))
    if recipe.num_tokens is not None and named != "nano":
        recipe = replace(recipe, num_tokens=_LARGER_WINDOW)
    recipe = _with_argument(_between_names(recipe, named), asked)
    if num_steps is None:
        return recipe
    return replace(recipe, num_steps=num_steps, warmup_steps=recipe.warmup_steps * num_steps // recipe.num_steps)


def recipe_of_run(spec: RunSpec) -> Recipe | None:
    """How the body of our own that a run needs is made; None where it is drawn from a seed or loaded from a checkpoint.

    A control is made from the body of seed 0: its own seed says how.
    """
    if spec.has_checkpoint or spec.size is None:
        return None
    init = parse(spec.init)
    source = init.pretrained
    if source is None or (source.is_plain and pinned(spec.body, source.name, spec.size) is not None):
        return None
    seed = 0 if init.name in CONTROLS else spec.body_seed
    return recipe_for(str(source), body=spec.body, size=spec.size, seed=seed)


def _between_names(recipe: Recipe, named: str) -> Recipe:
    """A named size's recipe for another depth and width."""
    by_steps, by_rate = recipe_sizes.factors(recipe.body, named, recipe.size)
    num_steps, warmup_steps = (round(num * by_steps) for num in (recipe.num_steps, recipe.warmup_steps))
    return replace(recipe, num_steps=num_steps, warmup_steps=warmup_steps, lr=recipe.lr * by_rate)


def _with_argument(recipe: Recipe, asked: Init) -> Recipe:
    """The recipe with what the init says after its name."""
    if asked.name == "language":
        return replace(recipe, corpus=asked.argument, tokenizer=asked.tokenizer)
    if asked.name == "vision":
        images = asked.argument or (_NANO_IMAGES if sizes.nearest(recipe.size) == "nano" else _LARGER_IMAGES)
        patch_size = _PATCH_SIZES.get(images, _PATCH_SIZE)
        return replace(recipe, corpus=images, task_args=(("patch_size", patch_size),))
    if asked.argument is None:
        return recipe
    changed = {"dyck": "num_types", "cellular-automata": "rule"}[asked.name]
    return replace(recipe, task_args=tuple({**dict(recipe.task_args), changed: int(asked.argument)}.items()))
