"""ListOps files: the Long Range Arena's `Source<TAB>Target` tables and the original `label<TAB>expression` lines."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.expressions import CLOSE, FIRST_DIGIT, FIRST_OPERATOR, OPERATORS, Expression
from tasks.files import DamagedData, MissingData, check_count, find_all, read_bytes

_URL = "https://storage.googleapis.com/long-range-arena/lra_release.gz"
_HEADER = b"Source\tTarget"
# Operators are first shortened to one letter, then every byte becomes a symbol id; what is left over is unknown.
_LETTERS = {operator.encode(): bytes([ord("a") + i]) for i, operator in enumerate(OPERATORS)}
_UNKNOWN = 255
_DIGITS = {ord("0") + digit: FIRST_DIGIT + digit for digit in range(10)}
_SYMBOLS = _DIGITS | {ord("a") + i: FIRST_OPERATOR + i for i in range(len(OPERATORS))} | {ord("]"): CLOSE}
_SYMBOL_OF_BYTE = bytes(_SYMBOLS.get(byte, _UNKNOWN) for byte in range(256))
_RUN_TOGETHER = re.compile(rb"[0-9\]][^ )]|[a-z]")


def find(folder: Path, names: list[str]) -> list[Path]:
    """The files of these names, plain or packed.

    Raises:
        MissingData: one of them is absent.
    """
    paths = find_all(folder, names)
    if paths is None:
        raise MissingData(
            f"listops: no {', '.join(names)} in {folder}; copy them there from listops-1000/ of {_URL}, "
            'or leave out source="files" to generate expressions'
        )
    return paths


def read(path: Path, num_expected: int) -> list[Expression]:
    """All expressions of a file in either format, with the labels it gives them.

    Raises:
        DamagedData: a line is no expression with a label 0 .. 9, or their number is wrong.
    """
    lines = read_bytes(path).splitlines()
    is_arena = bool(lines) and lines[0] == _HEADER
    if is_arena:
        del lines[0]
    check_count(path, len(lines), num_expected, "expressions")
    expressions = []
    for number, line in enumerate(lines, start=2 if is_arena else 1):
        first, tab, second = line.partition(b"\t")
        expression, label = (first, second) if is_arena else (second, first)
        if not tab or len(label) != 1 or not label.isdigit():
            raise DamagedData(f"{path}: line {number} has no label 0 to 9 and expression divided by a tab")
        expressions.append((_symbols(path, number, expression), int(label)))
    return expressions


def _symbols(path: Path, number: int, expression: bytes) -> bytes:
    if _RUN_TOGETHER.search(expression):
        raise DamagedData(f"{path}: line {number} has symbols that are not divided by spaces")
    for operator, letter in _LETTERS.items():
        expression = expression.replace(operator, letter)
    symbols = expression.translate(_SYMBOL_OF_BYTE, b"() ")
    if _UNKNOWN in symbols:
        raise DamagedData(f"{path}: line {number} has an unknown symbol; known are 0-9 ( ) ] {' '.join(OPERATORS)}")
    num_operators = sum(symbols.count(FIRST_OPERATOR + i) for i in range(len(OPERATORS)))
    if not symbols or num_operators != symbols.count(CLOSE):
        raise DamagedData(f"{path}: line {number} has {num_operators} operators and {symbols.count(CLOSE)} ]")
    return symbols
