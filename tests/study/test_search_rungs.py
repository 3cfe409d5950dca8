"""Successive halving by itself: who goes on, who does not, and that the order within a pack does not matter."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from study.search_rungs import Rungs, rung_steps

_score = st.one_of(st.floats(0, 1), st.just(math.nan))


def test_rungs_lie_where_runs_are_evaluated_anyway():
    assert rung_steps(900, 25) == (100, 300, 900)
    assert rung_steps(600, 25) == (75, 200, 600)
    assert rung_steps(36, 30) == (30, 36)
    assert rung_steps(5, 5) == (5,)
    assert rung_steps(600, 25, num_rungs=0) == (600,)


def test_one_in_three_goes_on_and_nobody_does_at_the_end():
    rungs = Rungs((1, 3))
    assert rungs.enter(1, {number: number / 10 for number in range(6)}) == {4, 5}
    assert rungs.enter(1, {6: 0.35}) == set()
    assert rungs.enter(1, {7: 0.9, 8: 0.1}) == {7}
    assert rungs.enter(3, {5: 1.0, 7: 0.5}) == set()


def test_who_was_here_before_keeps_its_score():
    rungs = Rungs((1, 3))
    rungs.enter(1, {0: 0.2, 1: 0.9})
    assert rungs.enter(1, {0: 1.0}) == set()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(_score, min_size=1, max_size=5), min_size=1, max_size=8))
def test_the_best_so_far_goes_on_and_no_more_than_a_third_after_the_first(packs):
    rungs, seen, numbered = Rungs((1, 9)), {}, 0
    for pack in packs:
        scores = {numbered + i: score for i, score in enumerate(pack)}
        numbered += len(pack)
        seen |= scores
        going_on = rungs.enter(1, scores)
        assert going_on <= scores.keys() and not any(math.isnan(scores[number]) for number in going_on)
        finite = {number: score for number, score in seen.items() if not math.isnan(score)}
        # The reference: rank everybody from scratch.
        order = sorted(finite, key=lambda number: (-finite[number], number))
        assert going_on == set(order[: max(1, len(seen) // 3)]) & scores.keys()


@settings(deadline=None, max_examples=50)
@given(st.permutations(range(6)))
def test_the_order_within_a_pack_does_not_matter(order):
    scores = {number: number % 3 / 3 for number in range(6)}
    assert Rungs((1, 9)).enter(1, {number: scores[number] for number in order}) == Rungs((1, 9)).enter(1, scores)
