"""`--set`: what a user wants searched instead; whatever makes no sense is refused in one line before any work.

lr=log:1e-5..1e-2        evenly by logarithm      dropout=0..0.3         evenly
batch_size=4|8|16        one of these             clip_norm=none|1       none: no clipping
schedule=fixed           the grid's own value     others=fixed           whatever no other --set names
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from study.errors import UserError, one_line, unknown_name
from study.search_space import Choice, Range, Space, Value, own_values, with_domain, without
from study.spec import RunSpec
from study.tuned import VALUES, WARMUP_SHARE

_FIXED, _OTHERS = "fixed", "others"
_FORMS = "log:LOW..HIGH, LOW..HIGH, A|B|C or fixed"
_WHOLE = ("batch_size",)
_WORDS = ("schedule",)


def overridden(space: Space, texts: Sequence[str], run: RunSpec, num_train_examples: int | None) -> Space:
    """The space with what `--set` says.

    Args:
        space: the default one.
        texts: each "name=domain".
        run: of the variant; it says which values make a run.
        num_train_examples: of the training data; None where they are endless.

    Raises:
        UserError: unknown name, the same name twice, or a domain that is empty, inverted, of one value, or holds what
            no run can have.
    """
    domains: dict[str, Range | Choice | str] = {}
    for text in texts:
        name, equals, domain = (piece.strip() for piece in text.partition("="))
        if not equals or not name:
            raise UserError(f"--set takes name=domain, not '{one_line(text)}'; a domain is {_FORMS}")
        if name not in (*VALUES, _OTHERS):
            raise unknown_name("value in --set", name, [*VALUES, _OTHERS])
        if name in domains:
            raise UserError(f"--set names '{name}' twice; give it one domain")
        domains[name] = _parse(name, domain)
    if _OTHERS in domains:
        if domains.pop(_OTHERS) != _FIXED:
            raise UserError(f"--set {_OTHERS}=... takes fixed only; name the value that is to be searched")
        space = without(space, set(VALUES) - domains.keys(), run)
    for name, domain in domains.items():
        if isinstance(domain, str):
            space = without(space, {name}, run)
        else:
            _check_runs(name, domain, run, num_train_examples)
            space = with_domain(space, name, domain)
    if not space.dimensions:
        raise UserError("--set fixes every value, so there is nothing to search; leave one of them free, such as lr")
    return space


def _parse(name: str, text: str) -> Range | Choice | str:
    if text == _FIXED:
        return _FIXED
    is_log = text.startswith("log:")
    body = text.removeprefix("log:")
    if not body:
        raise UserError(f"--set {name}={text} is empty; give {_FORMS}")
    if ".." in body:
        return _range(name, text, body, is_log)
    if is_log:
        raise UserError(f"--set {name}={one_line(text)} has no bounds; write log:LOW..HIGH")
    pieces = [piece.strip() for piece in body.split("|")]
    values = tuple(_value(name, text, piece) for piece in pieces)
    if len(values) == 1:
        raise UserError(f"--set {name}={one_line(text)} leaves one value; give two or more, or {name}={_FIXED}")
    if len(set(values)) < len(values):
        raise UserError(f"--set {name}={one_line(text)} has a value twice")
    return Choice(values)


def _range(name: str, text: str, body: str, is_log: bool) -> Range:
    if name in (*_WHOLE, *_WORDS):
        why = "runs of one pack share it" if name in _WHOLE else "it is a word"
        raise UserError(f"--set {name}={one_line(text)}: {why}; give values joined by |, not a range")
    low, high = (_number(name, text, piece) for piece in body.split("..", 1))
    if is_log and low <= 0:
        raise UserError(f"--set {name}={one_line(text)}: the logarithm of {low:g} does not exist; begin above 0")
    if low >= high:
        kind = "inverted" if low > high else "empty"
        raise UserError(f"--set {name}={one_line(text)} is {kind}; write the lower bound first, then a higher one")
    return Range(low, high, is_log)


def _value(name: str, text: str, piece: str) -> Value:
    if not piece:
        raise UserError(f"--set {name}={one_line(text)} has an empty value; give {_FORMS}")
    if name in _WORDS:
        return piece
    if piece.lower() == "none":
        return None
    number = _number(name, text, piece)
    if name in _WHOLE:
        if number != int(number):
            raise UserError(f"--set {name}={one_line(text)}: {name} must be whole numbers")
        return int(number)
    return number


def _number(name: str, text: str, piece: str) -> float:
    try:
        number = float(piece)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"--set {name}={one_line(text)}: '{one_line(piece)}' is no finite number; give {_FORMS}")
    return number


def _check_runs(name: str, domain: Range | Choice, run: RunSpec, num_train_examples: int | None) -> None:
    """Refuse what no run of the variant can have."""
    extremes: tuple[Any, ...] = domain.values if isinstance(domain, Choice) else (domain.low, domain.high)
    for value in extremes:
        if name == WARMUP_SHARE:
            if value is None or not 0 <= value < 1:
                raise UserError(f"--set {name}={domain}: {name} must be at least 0 and below 1, not {value}")
            continue
        if value is None and name != "clip_norm":
            raise UserError(f"--set {name}={domain}: {name} must have a value, only clip_norm may be none")
        try:
            dataclasses.replace(run, **{name: value})
        except UserError as error:
            raise UserError(f"--set {name}={domain}: {error}") from None
    sizes = [value for value in extremes if isinstance(value, int | float)]
    if name == "batch_size" and num_train_examples is not None and max(sizes) > num_train_examples:
        raise UserError(
            f"--set {name}={domain}: a batch of {max(sizes)} is larger than the {num_train_examples} training examples "
            f"of {run.task}; give at most {num_train_examples}"
        )


def proposal_of(space: Space, run: RunSpec) -> dict[str, Value]:
    """The grid's own values as a proposal, as far as the space holds them."""
    return space.own(own_values(run))
