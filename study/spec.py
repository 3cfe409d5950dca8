"""One fully specified training as a frozen value, whose hash is its identity.

Everything that may change a number is a field of `RunSpec`; everything else (device, library versions, git revision)
is a column of the ledger. Imports the standard library and the two name tables only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from typing import Any

from models import CHECKPOINT_PREFIX, Group, Part
from study import spec_checks as checks
from study.errors import UserError

SCHEMA_VERSION = 1
"""Version of the fields below; raised when one is added, removed or changes its meaning."""
ENGINE_VERSION = 1
"""Version of the training code, raised by hand when a change of code may change results."""

Scalar = int | float | str | bool


class Protocol(StrEnum):
    """`paper`: what the released code really does; `fixed`: what it should do."""

    PAPER = "paper"
    FIXED = "fixed"


class Precision(StrEnum):
    """Number format of matrix products; master weights are always fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


class Schedule(StrEnum):
    """Learning rate after the warm-up; cosine and linear fall to 0 at num_steps."""

    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"


class Features(StrEnum):
    """`cached`: the body runs once over the data, without dropout; only for runs that train the output layer alone."""

    ONLINE = "online"
    CACHED = "cached"


class TaskArgs(Mapping[str, Scalar]):
    """A frozen, hashable mapping of task arguments; 1, 1.0 and True are three different values."""

    def __init__(self, values: Mapping[str, Scalar] | None = None) -> None:
        pairs = checks.mapping("task_args", {} if values is None else values).items()
        self._values = {name: checks.scalar(f"task_args['{name}']", value) for name, value in sorted(pairs)}

    def __getitem__(self, name: str) -> Scalar:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return _typed(self) == _typed(other)

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __repr__(self) -> str:
        return repr(self._values)

    def to_json(self) -> str:
        """Canonical JSON, as in the ledger's column `task_args`."""
        return canonical_json(self._values)


def _typed(values: Mapping[str, Any]) -> dict[str, tuple[type, Any]]:
    return {name: (type(value), value) for name, value in values.items()}


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no blanks and floats by `repr`: equal values give equal bytes on every machine."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One training run. The defaults are the paper's values where it has them (paper section 3 and released code).

    Plain strings are accepted for the enumerations. `train_set` may be a preset's name, a tuple of groups, or groups
    joined by "+", parts of groups among them; groups that are exactly a preset take its name. A preset means those of
    its groups that the body has.

    Attributes:
        task, task_args, protocol: what is learned; the arguments are checked by the task itself.
        body, size, num_layers: the architecture; size is a name, or layers and width as "2x64", and None with a
            checkpoint; num_layers None means all of them.
        init: where the body's weights come from (`study.inits`), or "checkpoint:<folder or hub id>[@revision]".
        train_set: which parameter groups are trained.
        features: whether the body runs at every step or once.
        num_train_examples: size of a seeded subset of the training data; None for all of it.
        lr, batch_size, weight_decay, warmup_steps, schedule: Adam's; batch_size in examples.
        clip_norm: largest global gradient norm, None for no clipping.
        dropout: one probability for every dropout site, the body's own included.
        orthogonal_gain: gain of the orthogonal input layer.
        num_steps, eval_every_steps: gradient steps, and steps between two evaluations.
        precision: number format of matrix products.
        seed: input and output layers, data order and dropout.
        body_seed: which random, pretrained, statistics or shuffled body.
    """

    task: str
    task_args: Mapping[str, Scalar] = dataclasses.field(default_factory=TaskArgs)
    protocol: Protocol = Protocol.FIXED
    body: str = "gpt2"
    size: str | None = "base"
    num_layers: int | None = None
    init: str = "language"
    train_set: str | tuple[Group | Part, ...] = "fpt"
    features: Features = Features.ONLINE
    num_train_examples: int | None = None
    lr: float = 1e-3
    batch_size: int = 4
    weight_decay: float = 0.0
    warmup_steps: int = 0
    schedule: Schedule = Schedule.CONSTANT
    clip_norm: float | None = 1.0
    dropout: float = 0.1
    orthogonal_gain: float = 1.41
    num_steps: int
    eval_every_steps: int
    precision: Precision = Precision.FP32
    seed: int = 0
    body_seed: int = 0

    def __post_init__(self) -> None:
        normal = {
            # Most specifications of a large grid are made from another one, whose arguments were checked.
            "task_args": self.task_args if isinstance(self.task_args, TaskArgs) else TaskArgs(self.task_args),
            "protocol": checks.member("protocol", self.protocol, Protocol),
            "schedule": checks.member("schedule", self.schedule, Schedule),
            "features": checks.member("features", self.features, Features),
            "precision": checks.member("precision", self.precision, Precision),
            **{name: checks.whole(name, getattr(self, name), *bounds) for name, bounds in checks.WHOLE.items()},
            **{name: checks.real(name, getattr(self, name), *bounds) for name, bounds in checks.REAL.items()},
        }
        # Written at once: a frozen dataclass sets field by field, a tenth of the time of a grid of ten thousand runs.
        own = self.__dict__
        own.update(normal)
        own["init"], own["size"] = checks.names(self.task, self.body, self.size, self.init, self.body_seed)
        own["train_set"] = checks.train_set(self.train_set, self.body)
        checks.steps(self.num_steps, self.eval_every_steps, self.warmup_steps)
        if self.features is Features.CACHED and self.groups != (Group.OUTPUT,):
            raise UserError(
                f"features 'cached' need train_set output-only, not {self.train_set_name}; use features 'online'"
            )

    @property
    def groups(self) -> tuple[Group | Part, ...]:
        """The trained groups that the body has, in the order of `Group`, then parts of groups."""
        return checks.groups_of(self.train_set, self.body)

    @property
    def train_set_name(self) -> str:
        """The preset's name, or the groups joined by "+", as in the ledger's column `train_set`."""
        return self.train_set if isinstance(self.train_set, str) else "+".join(self.train_set)

    @property
    def has_checkpoint(self) -> bool:
        """Whether the body is read from a checkpoint that the user names."""
        return self.init.startswith(CHECKPOINT_PREFIX)

    @cached_property
    def run_id(self) -> str:
        """First 16 hex digits of SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Canonical JSON of every field and both versions; a preset is spelled out, so renaming it keeps the id."""
        fields = {
            **self._values(),
            "task_args": dict(self.task_args),
            "train_set": list(self.groups),
            "schema_version": SCHEMA_VERSION,
            "engine_version": ENGINE_VERSION,
        }
        return canonical_json(fields)

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """The run that `to_json` wrote.

        Raises:
            UserError: not such a document, a field missing or unknown, or written by another version.
        """
        try:
            fields = json.loads(text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise UserError(f"not a run specification: {error}") from None
        checks.document(fields, {field.name for field in dataclasses.fields(cls)})
        for name, version in (("schema_version", SCHEMA_VERSION), ("engine_version", ENGINE_VERSION)):
            if fields.pop(name) != version:
                raise UserError(f"run specification of another {name}; this program has {version}: make it anew")
        return cls(**fields | {"train_set": tuple(fields["train_set"])})

    def as_columns(self) -> dict[str, Any]:
        """Every field as a value that a Parquet column holds: task_args as canonical JSON, train_set as its name."""
        return {**self._values(), "task_args": TaskArgs(self.task_args).to_json(), "train_set": self.train_set_name}

    def _values(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in _names()}
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in values.items()}


@cache
def _names() -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(RunSpec))


def _refuse_constant(name: str) -> float:
    raise UserError(f"not a run specification: {name} is not a number that can be compared")
