"""The cards of bodies as a table, and each in full."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import page, provenance
from analysis.body_cards import Bodies
from analysis.body_curves import metric_text
from study.errors import one_line

MOST_ROWS = 200
"""Cards that are shown; the others are counted."""
_LONGEST_VALUE = 400  # characters of one value of a whole card
_CHECKSUM, _REVISION = 12, 10  # digits that tell corpora and commits apart
_COLUMNS = (
    *("init", "body", "runs", "kind", "held out [trivial predictor]", "made from", "tokenizer", "steps", "tokens"),
    *("training operations", "wall time", "device", "seed", "parameters", "revision", "key"),
)


def cards(found: Bodies) -> str:
    """HTML: a row for every body, and below it every card in full."""
    shown = found.cards.head(MOST_ROWS)
    caption = f"Bodies of this ledger: {len(shown)} of {len(found.cards)}"
    known = [
        {name: None if pd.isna(value) else value for name, value in card.items()} for card in shown.to_dict("records")
    ]
    table = page.table([_row(card) for card in known], columns=_COLUMNS, caption=caption, num_keys=2)
    whole = [_whole(found.full[key]) for key in shown["key"]]
    titles = [f"{card['init']}, {_body(card)}: {card['key']}" for card in known]
    folds = [page.fold(title, content) for title, content in zip(titles, whole, strict=True)]
    return table + page.fold("Every card in full", "".join(folds))


def _row(card: dict[str, Any]) -> list[object]:
    kind, objective = card["kind"], card["objective"]
    wall, work = card["wall_seconds"], card["train_flops"]
    seed = card["body_seed"] if card["seed"] is None else card["seed"]
    return [
        card["init"],
        _body(card),
        int(card["num_runs"]),
        kind if objective is None or card["init"].startswith(objective) else f"{kind}: {objective}",
        _held_out(card),
        _made_from(card),
        card["tokenizer"],
        _integer(card["num_steps"]),
        _integer(card["num_tokens_seen"]),
        None if work is None else _unbroken(provenance.flops(work)),
        None if wall is None else _unbroken(provenance.seconds(wall)),
        card["device"],
        _integer(seed),
        _integer(card["num_params"]),
        card["git_revision"] and _short(card["git_revision"]),
        card["key"],
    ]


def _short(revision: str) -> str:
    """The commit's first digits, and whatever says that the code was not just that commit."""
    commit, mark, rest = revision.partition("+")
    return commit[:_REVISION] + mark + rest


def _body(card: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (card["body"] or "unknown body", card["size"])))


def _held_out(card: Mapping[str, Any]) -> str | None:
    merit, baseline, metric = card["held_out_metric"], card["baseline_metric"], card["metric"]
    if merit is None:
        return None
    trivial = "" if baseline is None else f"\n[{metric_text(baseline, metric)}]"
    return _unbroken(metric_text(merit, metric) + trivial)


def _made_from(card: Mapping[str, Any]) -> str | None:
    """The corpus with its checksum, the checkpoint, or the body whose values were used."""
    checksum = card["corpus_checksum"] and card["corpus_checksum"][:_CHECKSUM]
    source = card["source_key"] and f"body {card['source_key']}"
    return "\n".join(filter(None, (card["corpus"], checksum, card["checkpoint"], source))) or None


def _whole(card: Mapping[str, Any]) -> str:
    """Everything on a card but the lists that are drawn."""
    shown = {name: value for name, value in card.items() if name not in ("curve", "tensors")}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in shown.items()}
    return page.definitions({name: one_line(text)[:_LONGEST_VALUE] for name, text in texts.items()})


def _unbroken(text: str) -> str:
    """A number stays on one line with its unit."""
    return text.replace(" ", "\u00a0")


def _integer(value: float | None) -> str | None:
    return None if value is None else f"{int(value):,}"
