"""ListOps expressions: symbols, values, and a generator with the distribution of the Long Range Arena.

One worked example, in the original spelling (Nangia and Bowman 2018; parentheses only show how it is parsed):

    ( ( ( [MAX 2 ) ( ( ( [SM 9 ) 4 ) ] ) ) ] )      is [MAX 2 [SM 9 4 ] ] and has the value max(2, (9 + 4) mod 10) = 3

Operators: MIN, MAX, MED = the median, rounded down, SM = the sum modulo 10 (lra_benchmarks/data/listops.py).

The generator grows thousands of trees at once, level by level, as flat arrays: the children of one level lie behind
each other in the order of their parents, so that lengths and values go up, and positions go down, by segments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tasks import counter

# Symbol ids. 0 is padding; the digit d is d + 1.
PADDING, FIRST_DIGIT, FIRST_OPERATOR, CLOSE = 0, 1, 11, 15
OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
MIN, MAX, MED, SM = range(FIRST_OPERATOR, FIRST_OPERATOR + 4)

# One expression: its symbol ids and its value.
Expression = tuple[bytes, int]

_NUM_ROOTS = 4096  # trees grown at once


@dataclass(frozen=True)
class Shape:
    """Which expressions are generated; a length counts operators, digits and `]`, never parentheses.

    The Long Range Arena keeps lengths strictly between 500 and 2000, hence the bounds 501 and 1999 (both included).
    """

    min_length: int = 501
    max_length: int = 1999
    max_depth: int = 10
    max_args: int = 10

    def __post_init__(self) -> None:
        longest = 1
        for _ in range(1, self.max_depth):
            longest = min(2 + self.max_args * longest, self.max_length)
        if self.min_length < 1 or self.max_depth < 1 or self.max_args < 2:
            raise ValueError(f"{self} is impossible; min_length and max_depth start at 1, max_args at 2")
        if not self.min_length <= longest <= self.max_length:
            raise ValueError(
                f"no expression of {self.min_length} to {self.max_length} tokens has max_depth {self.max_depth} and "
                f"max_args {self.max_args} (at most {longest} tokens); change min_length or max_depth"
            )


@dataclass
class _Level:
    """The nodes of one depth; `starts` and `counts` delimit each operator's children in the next level."""

    symbols: np.ndarray
    root: np.ndarray
    is_operator: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray

    def kept(self, is_kept: np.ndarray) -> _Level:
        here = is_kept[self.root]
        operators = here[self.is_operator]
        arrays = (self.symbols[here], self.root[here], self.is_operator[here], self.counts[operators])
        return _Level(*arrays, self.lengths[here])


def evaluate(symbols: bytes) -> int:
    """The value of one expression, computed with a stack.

    Raises:
        ValueError: the symbols are not one well-formed expression.
    """
    stack: list[list[int]] = [[]]
    for symbol in symbols:
        if symbol >= FIRST_OPERATOR and symbol != CLOSE:
            stack.append([symbol])
            continue
        if symbol == CLOSE:
            operator, *operands = stack.pop() or [CLOSE]
            if not stack or not operands:
                raise ValueError("a ']' closes nothing or an operator has no arguments")
            stack[-1].append(_apply(operator, operands))
        else:
            stack[-1].append(symbol - FIRST_DIGIT)
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError("not exactly one complete expression")
    return stack[0][0]


def _apply(operator: int, operands: list[int]) -> int:
    ordered = sorted(operands)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) // 2
    return {MIN: ordered[0], MAX: ordered[-1], MED: middle, SM: sum(operands) % 10}[operator]


def generate(shape: Shape, *, key: int, part: int) -> list[Expression]:
    """Part number `part` of the endless sequence of expressions with this key; the number in a part varies.

    As in the Long Range Arena a node is an operator with probability 1/4 (never at the greatest depth), an operator
    has 2 .. max_args arguments, operators and digits are uniform, and what does not fit the lengths is thrown away.
    """
    levels = _grow(shape, key=counter.key(key, part))
    for above, below in zip(reversed(levels[:-1]), reversed(levels[1:]), strict=True):
        above.lengths[above.is_operator] += np.add.reduceat(below.lengths, _starts(above.counts))
    lengths = levels[0].lengths
    is_kept = (lengths >= shape.min_length) & (lengths <= shape.max_length)
    levels = [level.kept(is_kept) for level in levels]
    if not is_kept.any():
        return []
    flat = _written(levels).tobytes()
    ends = np.cumsum(levels[0].lengths).tolist()
    texts = [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return list(zip(texts, _evaluated(levels).tolist(), strict=True))


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts) - counts


def _grow(shape: Shape, *, key: int) -> list[_Level]:
    """Draw trees level by level; `lengths` holds each node's own symbols: 1 for a digit, 2 for an operator."""
    levels = []
    root = np.arange(_NUM_ROOTS)
    size = np.zeros(_NUM_ROOTS, np.int64)
    for depth in range(1, shape.max_depth + 1):
        draw = counter.words(counter.key(key, depth), 0, len(root), 1, torch.device("cpu")).numpy().ravel()
        # Where one digit is too short anyway, roots are operators: rejection would leave only these.
        is_operator = (draw & 3 == 0) | (depth == 1 and shape.min_length > 1)
        is_operator &= depth < shape.max_depth
        choice = (draw >> 2) & 0xFFFFF
        symbols = np.where(is_operator, FIRST_OPERATOR + choice % 4, FIRST_DIGIT + choice % 10).astype(np.uint8)
        lengths = np.where(is_operator, 2, 1)
        size += np.bincount(root, lengths, minlength=_NUM_ROOTS).astype(np.int64)
        # A tree that is already too long stays childless: its length only has to remain too long.
        is_operator &= size[root] <= shape.max_length
        counts = 2 + ((draw[is_operator] >> 24) & 0xFFFFF) % (shape.max_args - 1)
        levels.append(_Level(symbols, root, is_operator, counts, lengths))
        if not len(counts):
            break
        root = np.repeat(root[is_operator], counts)
    return levels


def _evaluated(levels: list[_Level]) -> np.ndarray:
    """[N] int64: the values of the roots."""
    values = levels[-1].symbols.astype(np.int64) - FIRST_DIGIT
    for level in reversed(levels[:-1]):
        operands, starts, counts = values, _starts(level.counts), level.counts
        values = level.symbols.astype(np.int64) - FIRST_DIGIT
        if not len(counts):
            continue
        segment = np.repeat(np.arange(len(counts)), counts)
        ordered = np.sort(segment * 10 + operands) - segment * 10
        middle = (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) // 2
        total = np.add.reduceat(operands, starts) % 10
        operator = level.symbols[level.is_operator]
        results = [ordered[starts], ordered[starts + counts - 1], middle, total]
        values[level.is_operator] = np.choose(operator - FIRST_OPERATOR, results)
    return values


def _written(levels: list[_Level]) -> np.ndarray:
    """[sum of lengths] uint8: every node's symbol at its place, and `]` at the end of every operator."""
    positions = _starts(levels[0].lengths)
    flat = np.empty(int(levels[0].lengths.sum()), np.uint8)
    for depth, level in enumerate(levels):
        flat[positions] = level.symbols
        operators = positions[level.is_operator]
        flat[operators + level.lengths[level.is_operator] - 1] = CLOSE
        if not len(operators):
            break
        below = levels[depth + 1].lengths
        before = _starts(below)
        within = before - np.repeat(before[_starts(level.counts)], level.counts)
        positions = np.repeat(operators + 1, level.counts) + within
    return flat
