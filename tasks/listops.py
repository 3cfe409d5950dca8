"""ListOps: the value (0 .. 9) of a nested expression of MIN, MAX, MED and SM (paper section 2.1; LRA, Tay et al. 2020).

[MAX 2 [SM 9 4 ] ]  is, as symbol ids padded to 9 tokens,

    fixed   12  3 14 10  5 15 15  0  0     every bracket kept, read at the last real token (the 7th)
    paper   12  3 14 10  5  0  0  0  0     `]` dropped, read at the last position, usually padding

Without `]` an expression has no unique value, so `paper` cannot be solved; it is what the released code trains on (the
Long Range Arena's tokenizer from before its repair of 2021-03-04, commit c209b2a). Of the Long Range Arena's lengths
87 % are cut at 512, the first token alone predicts about 36 % of the values, the most common value is right in 17 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from tasks import counter, listops_files
from tasks.base import Batch, Layout, ProtocolName, Split, require_at_least
from tasks.expressions import CLOSE, PADDING, Expression, Shape, generate
from tasks.files import data_root
from tasks.finite import FiniteTask
from tasks.streams import Examples

_KEY = counter.key("listops", "expressions")
# Number of parts in a row without a new expression after which there are taken to be no more.
_PATIENCE = 20
_NUM_TOKENS = {"paper": 512, "fixed": 2048}


class ListOps(FiniteTask):
    """Ten-way classification of symbol sequences, [N, T] ids in, one class out."""

    name = "listops"
    is_generated = True
    protocol_note = "paper drops the brackets, cuts at 512 tokens and reads a padding position; fixed keeps all of them"
    floor_predictor = "the first token, which is the operator at the root"
    chance_accuracy = 0.1

    def __init__(
        self,
        *,
        protocol: ProtocolName = "fixed",
        source: Literal["generated", "files"] = "generated",
        min_length: int = 501,
        max_length: int = 1999,
        max_depth: int = 10,
        max_args: int = 10,
        max_tokens: int | None = None,
        num_train_examples: int = 96_000,
        num_valid_examples: int = 2_000,
        num_test_examples: int = 2_000,
    ) -> None:
        """Take the Long Range Arena's sizes; a length counts operators, digits and `]`, bounds included.

        Args:
            protocol: as everywhere.
            source: "generated", or "files" for basic_{train,val,test}.tsv in the data folder, which must have the
                numbers of examples given here.
            min_length: shortest expression generated.
            max_length: longest expression generated.
            max_depth: deepest nesting generated; a lone digit has depth 1.
            max_args: most arguments of an operator generated.
            max_tokens: cut expressions at this many tokens (default 512 under `paper`, 2048 under `fixed`).
            num_train_examples: expressions to train on.
            num_valid_examples: expressions to select by.
            num_test_examples: expressions to report.
        """
        sizes: dict[Split, int] = {"train": num_train_examples, "valid": num_valid_examples, "test": num_test_examples}
        require_at_least(1, **{f"num_{split}_examples": size for split, size in sizes.items()})
        super().__init__(protocol, sizes)
        self._source = source
        self._shape = Shape(min_length, max_length, max_depth, max_args)
        self._folder = data_root() / "listops"
        num_tokens = _NUM_TOKENS[protocol] if max_tokens is None else max_tokens
        require_at_least(1, max_tokens=num_tokens)
        if source == "generated":
            num_tokens = min(num_tokens, max_length)
        is_fixed = protocol == "fixed"
        self.layout = Layout(
            num_tokens=num_tokens,
            num_features=None,
            num_symbols=CLOSE + 1 if is_fixed else CLOSE,
            num_readouts=1,
            num_targets=1,
            num_classes=10,
            reads_last_real=is_fixed,
            masks_padding=is_fixed,
        )

    @property
    def floor_accuracy(self) -> float:
        """Accuracy on the test split of the label most common in training after the same first token."""
        splits = self._on(torch.device("cpu"))
        first, label = splits["train"].inputs[:, 0].long(), splits["train"].targets[:, 0].long()
        counts = torch.bincount(first * 10 + label, minlength=(CLOSE + 1) * 10).view(-1, 10)
        guess = counts.argmax(dim=1)[splits["test"].inputs[:, 0].long()]
        return float((guess == splits["test"].targets[:, 0]).double().mean())

    def load(self) -> Mapping[Split, Examples]:
        """Make the splits (about 27 s on one core for the Long Range Arena's sizes) or read them."""
        if self._source == "generated":
            expressions = _generated(self._shape, tuple(sorted(self._sizes.items())))
        else:
            expressions = _from_files(self._folder, self._sizes)
        return {split: self._stored_form(part) for split, part in expressions.items()}

    def decode(self, examples: Examples) -> Batch:
        """Bytes to symbol ids; lengths only where the readout follows them."""
        lengths = None if examples.lengths is None else examples.lengths.long()
        return Batch(examples.inputs.long(), examples.targets.long(), lengths)

    def _stored_form(self, expressions: Sequence[Expression]) -> Examples:
        """Drop what the protocol drops, cut, and pad to [N, T] uint8."""
        num_tokens = self.layout.num_tokens
        dropped = bytes([CLOSE]) if self.protocol == "paper" else b""
        rows = [symbols.translate(None, dropped)[:num_tokens] for symbols, _ in expressions]
        padded = b"".join(row.ljust(num_tokens, bytes([PADDING])) for row in rows)
        inputs = torch.frombuffer(bytearray(padded), dtype=torch.uint8).view(len(rows), num_tokens)
        targets = torch.tensor([value for _, value in expressions], dtype=torch.uint8).unsqueeze(1)
        lengths = torch.tensor([len(row) for row in rows]) if self.layout.reads_last_real else None
        return Examples(inputs, targets, lengths)


@lru_cache(maxsize=2)
def _generated(shape: Shape, sizes: tuple[tuple[Split, int], ...]) -> dict[Split, list[Expression]]:
    """Different expressions in all splits; test and valid come first, so they do not depend on the other sizes.

    Raises:
        ValueError: there are fewer different expressions than asked for.
    """
    num_wanted = sum(size for _, size in sizes)
    found: dict[bytes, int] = {}
    part = last_success = 0
    while len(found) < num_wanted:
        num_before = len(found)
        for symbols, value in generate(shape, key=_KEY, part=part):
            found.setdefault(symbols, value)
        part += 1
        if len(found) > num_before:
            last_success = part
        if part - last_success >= _PATIENCE:
            raise ValueError(
                f"listops: {num_wanted} different expressions asked for, {len(found)} found of {shape}; "
                "ask for fewer or allow longer ones"
            )
    remaining = iter(found.items())
    test_first = sorted(sizes, key=lambda item: item[0] == "train")
    return {split: [next(remaining) for _ in range(size)] for split, size in test_first}


def _from_files(folder: Path, sizes: Mapping[Split, int]) -> dict[Split, list[Expression]]:
    names: dict[Split, str] = {"train": "basic_train.tsv", "valid": "basic_val.tsv", "test": "basic_test.tsv"}
    paths = listops_files.find(folder, list(names.values()))
    return {
        split: listops_files.read(path, num_expected=sizes[split]) for split, path in zip(names, paths, strict=True)
    }
