"""Settings that a search found, in OUT/tuned/<task>__<variant>.json, and the runs of a grid with them.

A setting holds for runs that are equal to those it was found on in everything but what it sets, their length and their
seeds (`HOLDS_FOR`): a learning rate of a small body says nothing about a large one. Imports neither ray nor torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.errors import StorageError, UserError, one_line
from study.spec import RunSpec, canonical_json
from study.storage import Storage, open_storage

FOLDER = "tuned"
SCHEMA_VERSION = 1
TUNABLE = (
    "lr", "batch_size", "weight_decay", "warmup_steps", "schedule", "clip_norm", "dropout", "orthogonal_gain",
)  # fmt: skip
"""Fields of `RunSpec` that a search may set."""
HOLDS_FOR = (
    "task", "task_args", "protocol", "body", "size", "num_layers", "init", "train_set", "features",
    "num_train_examples", "precision",
)  # fmt: skip
"""Fields of `RunSpec` that a run shares with those a setting was found on."""
WARMUP_SHARE = "warmup_share"
"""Warm-up as a share of all steps, so that a setting found on short runs can be used on long ones."""
VALUES = tuple(WARMUP_SHARE if name == "warmup_steps" else name for name in TUNABLE)
"""What a setting may say."""


@dataclass(frozen=True)
class TunedSetting:
    """What a search found for one variant of one task.

    Attributes:
        task: what is learned.
        variant: name of what is compared, such as "fpt" or "frozen-random" (`study.search_targets`).
        holds_for: the fields `HOLDS_FOR`, as in the ledger's columns.
        values: fields of `RunSpec` that it sets, and `WARMUP_SHARE`.
        found: how it was found: study, sampler, budget, versions, git revision.
        expected: validation accuracy of runs with fresh seeds: mean, low, high, interval, num_seeds; empty before those
            have ended.
    """

    task: str
    variant: str
    holds_for: Mapping[str, Any]
    values: Mapping[str, Any]
    found: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What it holds for, as text."""
        return canonical_json(dict(self.holds_for))

    def set_on(self, run: RunSpec) -> RunSpec:
        """The run with these values; its length and its seeds stay."""
        values = dict(self.values)
        if WARMUP_SHARE in values:
            values["warmup_steps"] = round(values.pop(WARMUP_SHARE) * run.num_steps)
        return dataclasses.replace(run, **values)


@dataclass(frozen=True)
class Applied:
    """A grid with tuned settings.

    Attributes:
        runs: for each given run, in its place, the same run with the setting that holds for it, or as it was. Runs
            that differed only in what was tuned are now equal: see `different`.
        tuned: run ids of those that have a setting.
        without: the given runs that have none.
    """

    runs: tuple[RunSpec, ...]
    tuned: frozenset[str]
    without: tuple[RunSpec, ...]

    @property
    def different(self) -> list[RunSpec]:
        """Every run once, in the order of the grid."""
        return list({run.run_id: run for run in self.runs}.values())


def holds_for(run: RunSpec) -> dict[str, Any]:
    """What tells for which runs a setting that was found on this one holds."""
    columns = run.as_columns()
    return {name: columns[name] for name in HOLDS_FOR}


def apply(runs: Iterable[RunSpec], settings: Sequence[TunedSetting]) -> Applied:
    """Give each run the setting that holds for it."""
    by_key = {setting.key: setting for setting in settings}
    changed: list[RunSpec] = []
    tuned: set[str] = set()
    without: list[RunSpec] = []
    for run in runs:
        setting = by_key.get(canonical_json(holds_for(run)))
        if setting is None:
            changed.append(run)
            without.append(run)
        else:
            changed.append(setting.set_on(run))
            tuned.add(changed[-1].run_id)
    return Applied(tuple(changed), frozenset(tuned), tuple(without))


def read(out: str) -> list[TunedSetting]:
    """Every setting of a ledger, by file name; empty where there is none.

    Raises:
        UserError: a file is damaged or of another version, or two files hold for the same runs.
        StorageError: the place fails.
    """
    storage = open_storage(out)
    found: dict[str, tuple[str, TunedSetting]] = {}
    for name in storage.names(FOLDER):
        if not name.endswith(".json"):
            continue
        setting = _read(storage, f"{FOLDER}/{name}")
        if setting.key in found:
            other = found[setting.key][0]
            raise UserError(f"{FOLDER}/{other} and {FOLDER}/{one_line(name)} hold for the same runs; remove one")
        found[setting.key] = (name, setting)
    return [setting for _, setting in found.values()]


def write(storage: Storage, setting: TunedSetting) -> str:
    """Write a setting in the place of an earlier one for the same runs; returns its path.

    Where <task>__<variant>.json holds for other runs (another size, other arguments of the task), the name goes on with
    a digest of what it holds for.

    A damaged file of its name is replaced.

    Raises:
        StorageError: the place fails.
    """
    path, _ = find(storage, setting.task, setting.variant, setting.key)
    fields = {each.name: getattr(setting, each.name) for each in dataclasses.fields(setting)}
    document = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
    storage.replace(path, json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=1).encode())
    return path


def find(storage: Storage, task: str, variant: str, key: str) -> tuple[str, TunedSetting | None]:
    """Where the setting of a variant lies, or would lie, and what is there; None where that is nothing, or damaged.

    Raises:
        StorageError: the place fails.
    """
    plain = f"{_plain(task)}__{_plain(variant)}"
    own = f"{plain}__{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    names = storage.names(FOLDER)
    for stem in (own, plain):
        if f"{stem}.json" in names:
            path = f"{FOLDER}/{stem}.json"
            try:
                there = _read(storage, path)
            except UserError:
                return path, None
            if there.key == key:
                return path, there
    return f"{FOLDER}/{own if f'{plain}.json' in names else plain}.json", None


def _plain(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", name)


def _read(storage: Storage, path: str) -> TunedSetting:
    try:
        document = json.loads(storage.read(path))
        version = document.pop("schema_version")
        setting = TunedSetting(**document)
        is_whole = set(setting.holds_for) == set(HOLDS_FOR) and set(setting.values) <= set(VALUES)
        for part in (setting.holds_for, setting.values, setting.found, setting.expected):
            if not isinstance(part, Mapping):
                raise TypeError(f"not a mapping: {part!r}")
        share = setting.values.get(WARMUP_SHARE, 0.0)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"{WARMUP_SHARE} is {share!r}")
    except StorageError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = f"{one_line(path)} is no tuned setting ({one_line(error)})"
        raise UserError(f"{reason}; search again or remove it") from None
    if version != SCHEMA_VERSION or not is_whole:
        raise UserError(f"{one_line(path)} is of another version ({one_line(version)}); search again or remove it")
    return setting
