"""The counter-based generator against an independent one in unsigned arithmetic, and the properties streams rely on."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import counter

CPU = torch.device("cpu")
MASK = (1 << 64) - 1


def reference_word(key, index):
    def mixed(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    return mixed(mixed((index * 0x9E3779B97F4A7C15 + key) & MASK) ^ (key & MASK))


@settings(deadline=None, max_examples=30)
@given(key=st.integers(-(2**63), 2**63 - 1), first=st.integers(0, 2**40))
def test_words_follow_unsigned_arithmetic(key, first):
    found = counter.words(key, first, 3, 2, CPU)
    expected = [[reference_word(key, (first + row) * 2 + column) for column in range(2)] for row in range(3)]
    assert [[word & MASK for word in row] for row in found.tolist()] == expected


def test_rows_do_not_depend_on_how_they_are_drawn():
    whole = counter.words(counter.key("a"), 0, 16, 5, CPU)
    assert torch.equal(whole[11:], counter.words(counter.key("a"), 11, 5, 5, CPU))


def test_bits_are_the_bits_of_the_words():
    word = torch.tensor([[0b1011]])
    assert counter.bits(word, -1.0, 1.0)[0, :5].tolist() == [1.0, 1.0, -1.0, 1.0, -1.0]


def test_bits_are_fair_and_keys_are_unrelated():
    first = counter.bits(counter.words(counter.key("run", 1), 0, 2000, 1, CPU), -1.0, 1.0)
    second = counter.bits(counter.words(counter.key("run", 2), 0, 2000, 1, CPU), -1.0, 1.0)
    # 128,000 fair coins: five standard deviations are 0.014; per bit place (2,000 coins) 0.112.
    assert abs(first.mean()) < 0.014
    assert first.mean(dim=0).abs().max() < 0.112
    assert abs((first * second).mean()) < 0.014


def test_below_and_uniforms_cover_their_range():
    words = counter.words(counter.key("b"), 0, 1000, 1, CPU)
    assert sorted(counter.below(words, 3).unique().tolist()) == [0, 1, 2]
    uniforms = counter.uniforms(words)
    assert 0 <= uniforms.min() < 0.01
    assert 0.99 < uniforms.max() < 1


@pytest.mark.parametrize("num_items", [1, 2, 1000])
def test_permutations_hold_every_item_once(num_items):
    found = counter.permutation(counter.key("c"), 4, num_items, CPU)
    assert sorted(found.tolist()) == list(range(num_items))


def test_permutations_of_two_rows_differ():
    first, second = (counter.permutation(counter.key("c"), row, 1000, CPU) for row in (0, 1))
    assert not torch.equal(first, second)


def test_keys_tell_their_parts_apart():
    assert counter.key("a", "b") != counter.key("ab")
    assert counter.key("a", 1) != counter.key("a", 11)
