"""Cards of bodies -> tidy frames: one row per body, per point of a learning curve, per tensor.

A card is what its writer left in `bodies/<key>/card.json`, perhaps an older program or another one: what is missing or
of the wrong type is null, what is no card at all is named and left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import load
from study.errors import one_line
from study.ledger import Ledger
from study.storage import Storage

MOST_CARDS = 500
"""Cards that are read, the most used first: beyond them a report is no way to look at bodies."""
_LARGEST = 1e300  # a float's own range, so that integers of any length can be compared with it
_LONGEST = 200  # characters of a text that stand in tables and labels
_TEXTS = (
    *("kind", "init", "body", "size", "objective", "corpus", "corpus_checksum", "tokenizer", "metric", "source_key"),
    *("checkpoint", "precision", "device", "git_revision", "made_at"),
)
_FIGURES = ("held_out_metric", "baseline_metric")
_SIZES = (
    "num_layers",
    "num_params",
    "num_steps",
    "num_tokens_seen",
    "train_flops",
    "wall_seconds",
    "seed",
    "body_seed",
)
CARD_COLUMNS = ("key", *_TEXTS, *_FIGURES, *_SIZES, "is_better_lower", "num_runs")
CURVE_COLUMNS = ("key", "step", "num_tokens", "held_out_metric")
TENSOR_COLUMNS = ("key", "name", "group", "shape", "layer", "mean", "std", "spectral_norm")


@dataclass(frozen=True)
class Bodies:
    """The bodies of a ledger as far as their cards tell.

    Attributes:
        cards: one row per readable card, columns `CARD_COLUMNS`: as on the card, with the number of runs that used
            the body; by init, body, size and seed.
        curves: one row per point of a learning curve: key, step, num_tokens (seen so far), held_out_metric.
        tensors: one row per tensor: key, name, group, shape (tuple), layer (null outside the layers), mean, std,
            spectral_norm (null for a vector).
        full: the whole card by key.
        lost: number of runs by key, for bodies that runs used and that have no card.
        num_without: folders of bodies that no run used and that have no card: in the making, or given up.
        num_unread: further bodies, beyond `MOST_CARDS`.
        problems: one line for each card, or part of one, that is left out.
    """

    cards: pd.DataFrame
    curves: pd.DataFrame
    tensors: pd.DataFrame
    full: Mapping[str, Mapping[str, Any]]
    lost: Mapping[str, int]
    num_without: int
    num_unread: int
    problems: tuple[str, ...]


def read(frames: load.Frames) -> Bodies:
    """The bodies of the ledger that the frames are from."""
    storage = Ledger(frames.source).storage
    num_runs: dict[str, int] = frames.runs["body_key"].dropna().value_counts().to_dict()
    keys = sorted({*storage.names("bodies"), *num_runs}, key=lambda key: (-num_runs.get(key, 0), key))
    full: dict[str, dict[str, Any]] = {}
    without, problems = [], []
    for key in keys[:MOST_CARDS]:
        path = f"bodies/{key}/card.json"
        try:
            card = _card(storage, key)
        except FileNotFoundError:
            without.append(key)
        except ValueError as error:
            problems.append(f"{path}: {one_line(error)}")
        else:
            full[key] = card
    rows, points, tensors = [], [], []
    for key, card in full.items():
        rows.append({"key": key, **_row(card), "num_runs": num_runs.get(key, 0)})
        some, odd_points = _entries(card, "curve", _point)
        more, odd_tensors = _entries(card, "tensors", _tensor)
        points += [{"key": key, **entry} for entry in some]
        tensors += [{"key": key, **entry} for entry in more]
        problems += [f"bodies/{key}/card.json: {line}" for line in (*odd_points, *odd_tensors)]
    return Bodies(
        cards=_ordered(_frame(rows, CARD_COLUMNS, (*_FIGURES, *_SIZES))),
        curves=_frame(points, CURVE_COLUMNS, CURVE_COLUMNS[1:]),
        tensors=_frame(tensors, TENSOR_COLUMNS, TENSOR_COLUMNS[4:]),
        full=full,
        lost={key: num_runs[key] for key in without if key in num_runs},
        num_without=sum(key not in num_runs for key in without),
        num_unread=max(0, len(keys) - MOST_CARDS),
        problems=tuple(problems),
    )


def _card(storage: Storage, key: str) -> dict[str, Any]:
    """The card in the folder of this key.

    Raises:
        FileNotFoundError: there is none.
        ValueError: what is there is no card of this body; the message says why.
    """
    path = f"bodies/{key}/card.json"
    kind = storage.kind(path)
    if kind == "missing":
        raise FileNotFoundError(path)
    if kind == "folder":
        raise ValueError("it is a folder")
    try:
        card = json.loads(storage.read(path))
    except (ValueError, RecursionError):
        raise ValueError("not whole JSON") from None
    if not isinstance(card, dict) or not {"kind", "objective", "init"} & set(card):
        raise ValueError("not the card of a body")
    if card.get("key", key) != key:
        raise ValueError(f"it names another body, {str(card['key'])[:40]}")
    return card


def _row(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the table of cards shows; cards before the column `kind` are of pretrained bodies, named by objective."""
    row: dict[str, Any] = {name: _text(card.get(name)) for name in _TEXTS}
    row |= {name: _number(card.get(name)) for name in _FIGURES}
    row |= {name: _from_zero(card.get(name)) for name in _SIZES}
    if row["kind"] is None and row["objective"] is not None:
        row["kind"] = "pretrained"
    row["init"] = row["init"] or row["objective"] or "unknown"
    direction = card.get("is_better_lower")
    row["is_better_lower"] = direction if isinstance(direction, bool) else None
    return row


def _entries(
    card: Mapping[str, Any], name: str, parse: Callable[[Mapping[str, Any]], dict[str, Any] | None]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The sound entries of a list on the card, and a line on the others."""
    given = card.get(name)
    if given is None:
        return [], []
    if not isinstance(given, list):
        return [], [f"{name} is no list"]
    parsed = [parse(entry) if isinstance(entry, dict) else None for entry in given]
    sound = [entry for entry in parsed if entry is not None]
    odd = len(given) - len(sound)
    return sound, [f"{odd} of {len(given)} entries of {name} cannot be read"] if odd else []


def _point(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    point = {
        "step": _from_zero(entry.get("step")),
        "num_tokens": _from_zero(entry.get("num_tokens")),
        "held_out_metric": _number(entry.get("held_out_metric")),
    }
    return None if None in point.values() else point


def _tensor(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    name, shape = _text(entry.get("name")), entry.get("shape")
    if name is None or not isinstance(shape, list):
        return None
    sizes = [_from_zero(size) for size in shape]
    if None in sizes:
        return None
    return {
        "name": name,
        "group": _text(entry.get("group")),
        "shape": "x".join(f"{size:.0f}" for size in sizes),
        "layer": _from_zero(entry.get("layer")),
        "mean": _number(entry.get("mean")),
        "std": _from_zero(entry.get("std")),
        "spectral_norm": _from_zero(entry.get("spectral_norm")),
    }


def _frame(rows: list[dict[str, Any]], columns: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """A frame in which a column of numbers is one even where all of them are null."""
    return pd.DataFrame(rows, columns=list(columns)).astype(dict.fromkeys(numbers, float))


def _ordered(cards: pd.DataFrame) -> pd.DataFrame:
    rank = {name: i for i, name in enumerate(load.order("init", cards["init"]))}
    keyed = cards.assign(rank=cards["init"].map(rank))
    return keyed.sort_values(["rank", "body", "size", "seed", "key"], ignore_index=True).drop(columns="rank")


def _text(value: object) -> str | None:
    return one_line(value)[:_LONGEST] if isinstance(value, str) and value.strip() else None


def _from_zero(value: object) -> float | None:
    """A finite number from 0."""
    number = _number(value)
    return None if number is None or number < 0 else number


def _number(value: object) -> float | None:
    """A finite number; a truth value is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if -_LARGEST < value < _LARGEST else None
