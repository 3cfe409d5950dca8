"""The grammar of an init: a name of `models.INITS`, for some with an argument that says which.

    cellular-automata:30         elementary rule 30 instead of the default
    dyck:8                       8 types of brackets
    vision:cifar10               a data set: digits, mnist, cifar10, hub:<data set>[:<configuration>][@<revision>]
    language:wikitext-103        a corpus: text, cpython-docs, wikitext-103, hub:...
    language+gpt2_tokenizer      a tokenizer, also after a corpus: bytes, a folder (of $STUDY_DATA or any) or a hub id
    shuffled:vision              a control made from another body than the language body

One meaning has one spelling: an argument that is the default is dropped. Standard library and name tables only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from models import CHECKPOINT_PREFIX, INITS
from study.errors import UserError, one_line, unknown_name

CONTROLS = ("statistics", "shuffled")
"""Made from a pretrained body: of what is named after the colon, else the language body."""
PRETRAINED = ("language", "vision", "bit-memory", "dyck", "cellular-automata")
"""What a body of our own can be pretrained on; the table of `study.objectives.make` has the same names."""

DEFAULT_RULE = 110
"""Of class IV, whose rules Zhang et al. 2024 (arXiv 2410.02536) find best, and universal (Cook 2004)."""
DEFAULT_BRACKETS = 64
"""As in Hu et al. 2025 (arXiv 2502.19249)."""
_MOST_BRACKETS = 1024
CORPORA = ("text", "cpython-docs", "wikitext-103")
IMAGES = ("digits", "mnist", "cifar10")
HUB_FORM = "hub:<data set>[:<configuration>][@<revision>]"
_HUB = re.compile(r"hub:[^\s:@+]+(:[^\s:@+]+)?(@[^\s:@+]+)?")


@dataclass(frozen=True)
class Init:
    """An init, taken apart.

    Attributes:
        name: of `models.INITS`.
        argument: rule, number of bracket types, data set, corpus, or the init that a control is made from; None for
            the default.
        tokenizer: of a language body; None for bytes.
    """

    name: str
    argument: str | None = None
    tokenizer: str | None = None

    def __str__(self) -> str:
        argument = "" if self.argument is None else f":{self.argument}"
        return self.name + argument + ("" if self.tokenizer is None else f"+{self.tokenizer}")

    @property
    def is_plain(self) -> bool:
        """Nothing but a name, which may mean published weights; an argument always asks for pretraining of our own."""
        return self.argument is None and self.tokenizer is None

    @property
    def pretrained(self) -> Init | None:
        """The pretrained init that this is, or is made from; None for one that is drawn."""
        if self.name in CONTROLS:
            return parse(self.argument or "language")
        return self if self.name in PRETRAINED else None


def parse(init: str) -> Init:
    """An init in its one spelling; a checkpoint is none of these.

    Raises:
        UserError: an unknown name, an argument that the name does not take, or one that is out of range.
    """
    name, has_argument, argument = init.partition(":")
    tokenizer = None
    if name.startswith("language"):
        before, has_tokenizer, tokenizer = init.partition("+")
        name, has_argument, argument = before.partition(":")
        tokenizer = _tokenizer(init, tokenizer) if has_tokenizer else None
    if name not in INITS:
        raise unknown_name("init", init, [*INITS, CHECKPOINT_PREFIX + "<folder or hub id>"])
    if has_argument and name not in _ARGUMENTS:
        raise UserError(f"init '{name}' takes no argument, not '{one_line(argument)}'; {', '.join(_ARGUMENTS)} do")
    return Init(name, _ARGUMENTS[name](argument) if has_argument else None, tokenizer)


def _tokenizer(init: str, given: str) -> str | None:
    if not given.strip():
        raise UserError(f"init '{one_line(init)}' names no tokenizer; write language+<folder or hub id>")
    return None if given == "bytes" else given


def _number(what: str, given: str, smallest: int, largest: int, default: int) -> str | None:
    if not re.fullmatch(r"[0-9]{1,6}", given) or not smallest <= int(given) <= largest:
        raise UserError(f"{what} must be a whole number from {smallest} to {largest}, not '{one_line(given)}'")
    return None if int(given) == default else str(int(given))


def _rule(given: str) -> str | None:
    return _number("the rule of cellular-automata", given, 0, 255, DEFAULT_RULE)


def _brackets(given: str) -> str | None:
    return _number("the number of bracket types of dyck", given, 1, _MOST_BRACKETS, DEFAULT_BRACKETS)


def _corpus(given: str) -> str:
    return _data("corpus", given, CORPORA)


def _images(given: str) -> str:
    return _data("data set of images", given, IMAGES)


def _data(what: str, given: str, names: tuple[str, ...]) -> str:
    if given not in names and not _HUB.fullmatch(given):
        raise unknown_name(what, given, [*names, HUB_FORM])
    return given


def _control(given: str) -> str | None:
    source = parse(given)
    if source.name not in PRETRAINED:
        raise unknown_name("body to make a control from", given, PRETRAINED)
    return None if source == Init("language") else str(source)


_ARGUMENTS = {
    "cellular-automata": _rule,
    "dyck": _brackets,
    "vision": _images,
    "language": _corpus,
    "statistics": _control,
    "shuffled": _control,
}
