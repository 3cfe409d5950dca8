"""The generator against the stack evaluator, and against the distribution of the Long Range Arena's generator."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import counter
from tasks.expressions import CLOSE, FIRST_DIGIT, FIRST_OPERATOR, MAX, MED, MIN, SM, Shape, evaluate, generate


def digits(*values):
    return bytes(FIRST_DIGIT + value for value in values)


@pytest.mark.parametrize(
    ("symbols", "value"),
    [
        (digits(7), 7),
        (bytes([MIN]) + digits(4, 2, 9) + bytes([CLOSE]), 2),
        (bytes([SM]) + digits(9, 9, 4) + bytes([CLOSE]), 2),
        (bytes([MED]) + digits(9, 0, 4) + bytes([CLOSE]), 4),
        (bytes([MED]) + digits(1, 2, 9, 4) + bytes([CLOSE]), 3),
        (bytes([MED]) + digits(1, 2, 9, 5) + bytes([CLOSE]), 3),
        (bytes([MAX]) + digits(2) + bytes([SM]) + digits(9, 4) + bytes([CLOSE, CLOSE]), 3),
    ],
)
def test_values_of_known_expressions(symbols, value):
    assert evaluate(symbols) == value


@pytest.mark.parametrize(
    "symbols",
    [
        b"",
        digits(1, 2),
        bytes([CLOSE]),
        digits(1) + bytes([CLOSE]),
        bytes([MIN]) + digits(1),
        bytes([MIN, CLOSE]),
        bytes([MIN]) + digits(1) + bytes([CLOSE, CLOSE]),
    ],
)
def test_malformed_expressions_have_no_value(symbols):
    with pytest.raises(ValueError, match=r"closes nothing|complete expression"):
        evaluate(symbols)


def depth_and_arguments(symbols):
    """Deepest nesting and the numbers of arguments, found by walking the symbols."""
    open_counts, finished, deepest = [0], [], 1
    for symbol in symbols:
        if symbol == CLOSE:
            finished.append(open_counts.pop())
            continue
        open_counts[-1] += 1
        deepest = max(deepest, len(open_counts))
        if symbol >= FIRST_OPERATOR:
            open_counts.append(0)
    assert open_counts == [1]
    return deepest, finished


@settings(deadline=None, max_examples=25)
@given(
    min_length=st.integers(1, 12),
    extra=st.integers(4, 60),
    max_depth=st.integers(3, 7),
    max_args=st.integers(4, 12),
    part=st.integers(0, 1000),
)
def test_generated_expressions_keep_to_their_shape_and_value(min_length, extra, max_depth, max_args, part):
    shape = Shape(min_length, min_length + extra, max_depth, max_args)
    found = generate(shape, key=1, part=part)
    assert found
    for symbols, value in found[:60]:
        assert shape.min_length <= len(symbols) <= shape.max_length
        assert evaluate(symbols) == value
        deepest, arguments = depth_and_arguments(symbols)
        assert deepest <= max_depth
        assert all(2 <= count <= max_args for count in arguments)


def test_parts_are_repeatable_and_differ():
    shape = Shape(5, 30)
    first = generate(shape, key=counter.key("x"), part=0)
    assert first == generate(shape, key=counter.key("x"), part=0)
    assert first != generate(shape, key=counter.key("x"), part=1)
    assert first != generate(shape, key=counter.key("y"), part=0)


def test_frequencies_are_those_of_the_arena():
    # Nothing is rejected here, so the frequencies are the generator's own: P(operator) = 1/4, everything else uniform.
    found = [symbols for symbols, _ in generate(Shape(1, 12, max_depth=2, max_args=10), key=3, part=0)]
    assert len(found) == 4096
    roots = Counter(symbols[0] for symbols in found)
    assert sum(roots[FIRST_OPERATOR + i] for i in range(4)) == pytest.approx(1024, abs=5 * 28)
    assert all(roots[FIRST_OPERATOR + i] == pytest.approx(256, abs=5 * 16) for i in range(4))
    assert all(roots[FIRST_DIGIT + i] == pytest.approx(307, abs=5 * 17) for i in range(10))
    lengths = Counter(len(symbols) - 2 for symbols in found if len(symbols) > 1)
    assert sorted(lengths) == list(range(2, 11))
    assert all(count == pytest.approx(1024 / 9, abs=5 * 11) for count in lengths.values())


def test_arena_lengths_are_reached():
    found = generate(Shape(), key=0, part=0)
    lengths = sorted(len(symbols) for symbols, _ in found)
    assert lengths[0] > 500
    assert lengths[-1] < 2000
    # Without `]` the original generator's median is 816; every operator adds one `]`, about one symbol in seven.
    assert 850 < lengths[len(lengths) // 2] < 1050


@pytest.mark.parametrize(
    "shape",
    [
        {"min_length": 0},
        {"max_args": 1},
        {"max_depth": 0},
        {"min_length": 20, "max_length": 10},
        {"min_length": 2, "max_length": 9, "max_depth": 1},
        {"min_length": 13, "max_length": 20, "max_depth": 2},
    ],
)
def test_impossible_shapes_are_refused_with_what_to_change(shape):
    with pytest.raises(ValueError, match=r"is impossible|change min_length or max_depth") as refusal:
        Shape(**shape)
    assert "\n" not in str(refusal.value)
