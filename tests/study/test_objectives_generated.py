"""Brackets and automata against plain loops, and the two ways to predict."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from study.objectives.base import IGNORED
from study.objectives.baselines import commonest, unigram_entropy
from study.objectives.cellular_automata import cellular_automaton, space_time
from study.objectives.dyck import brackets, dyck
from study.objectives.prediction import rows_batch, symbols_batch


def _nats_of(symbols: list[int], num_types: int) -> list[float]:
    """What each bracket costs, by the words of the docstring; asserts that it may stand there."""
    counts, nats = Counter(), []
    for symbol in symbols:
        num_open = sum(counts.values())
        num_open_types = sum(count > 0 for count in counts.values())
        free = 0 < num_open < 16
        if symbol < num_types:
            assert num_open < 16
            nats.append(math.log(num_types) + free * math.log(2))
            counts[symbol] += 1
        else:
            assert counts[symbol - num_types] > 0
            nats.append(math.log(num_open_types) + free * math.log(2))
            counts[symbol - num_types] -= 1
    return nats


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 70), st.integers(-(2**63), 2**63 - 1), st.integers(1, 80))
def test_brackets_balance_and_cost_what_the_process_says(num_types, key, length):
    symbols, nats = brackets(key, 3, 2, num_types=num_types, length=length)
    for row, costs in zip(symbols.tolist(), nats.tolist(), strict=True):
        assert costs == pytest.approx(_nats_of(row, num_types))


def test_brackets_are_as_likely_as_the_process_says():
    # Of all sequences of 4 brackets of 2 types, each as often as its cost in nats promises.
    num = 20_000
    symbols, _ = brackets(5, 0, num, num_types=2, length=4)
    found = Counter(map(tuple, symbols.tolist()))
    for sequence in itertools.product(range(4), repeat=4):
        try:
            expected = num * math.exp(-sum(_nats_of(list(sequence), 2)))
        except AssertionError:
            expected = 0.0
        assert abs(found[sequence] - expected) <= 5 * math.sqrt(expected)


def test_the_least_loss_of_brackets_is_between_nothing_and_the_unigram():
    objective = dyck(num_types=8, num_tokens=32, is_causal=True, seed=0)
    least = float(objective.source["least_bits_per_bracket"])
    assert objective.baseline is not None and 2 < least < objective.baseline < math.log2(16)
    assert objective.measure(math.log(2), 0.0) == 1.0


@pytest.mark.parametrize("rule", [0, 30, 90, 110, 255])
def test_automata_follow_their_rule(rule):
    diagram = space_time(1, 0, 2, rule=rule, num_cells=11, num_rows=6).tolist()
    for rows in diagram:
        for before, after in itertools.pairwise(rows):
            for i in range(11):
                neighbourhood = f"{before[i - 1]}{before[i]}{before[(i + 1) % 11]}"
                # Wolfram's numbering: the rule's binary digits, most significant first, belong to 111, 110, ..., 000.
                digit = ["111", "110", "101", "100", "011", "010", "001", "000"].index(neighbourhood)
                assert after[i] == int(f"{rule:08b}"[digit])


def test_automata_of_different_seeds_differ_and_the_first_row_is_fair():
    first = space_time(1, 0, 200, rule=110, num_cells=50, num_rows=1)
    assert 0.48 < first.float().mean() < 0.52
    assert not torch.equal(first, space_time(2, 0, 200, rule=110, num_cells=50, num_rows=1))


def test_bodies_that_see_both_ways_are_asked_for_the_last_row():
    objective = cellular_automaton(rule=30, num_cells=9, num_rows=5, is_causal=False, seed=0)
    batch = objective.stream.draw(20)
    assert batch.inputs.shape == (20, 5, 10) and objective.layout.num_readouts == 1
    assert torch.equal(batch.inputs[..., -1], torch.tensor([0.0, 0, 0, 0, 1]).expand(20, 5))
    assert not batch.inputs[:, -1, :-1].any()
    before = batch.inputs[:, -2, :-1].long()
    after = before.roll(1, dims=1) ^ (before | before.roll(-1, dims=1))  # rule 30, as Wolfram writes it
    assert torch.equal(batch.targets, after)


def test_a_dead_automaton_is_known_to_the_baseline():
    objective = cellular_automaton(rule=0, num_cells=8, num_rows=4, is_causal=True, seed=0)
    assert objective.baseline == 1.0 and objective.held_out.targets.sum() == 0


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("kind", ["brackets", "automata"])
def test_streams_count_and_never_show_what_is_held_out(kind, is_causal):
    def make(seed):
        if kind == "brackets":
            return dyck(num_types=4, num_tokens=24, is_causal=is_causal, seed=seed)
        return cellular_automaton(rule=110, num_cells=24, num_rows=6, is_causal=is_causal, seed=seed)

    one, other = make(0).stream, make(0).stream
    at_once = one.draw(16)
    state = other.state_dict()
    parts = [other.draw(8), other.draw(8)]
    for name in ("inputs", "targets"):
        assert torch.equal(getattr(at_once, name), torch.cat([getattr(part, name) for part in parts]))
    other.load_state_dict(state)
    assert torch.equal(other.draw(16).inputs, at_once.inputs)
    assert not torch.equal(make(1).stream.draw(16).inputs, at_once.inputs)
    held_out = make(0).held_out
    assert torch.equal(held_out.inputs, make(1).held_out.inputs)
    assert torch.equal(held_out.targets, make(1).held_out.targets)
    shown = {row.numpy().tobytes() for row in at_once.inputs}
    assert not shown & {row.numpy().tobytes() for row in held_out.inputs}


def test_causal_bodies_predict_what_comes_next():
    batch = symbols_batch(torch.arange(10).view(2, 5), num_symbols=10, is_causal=True, key=0)
    assert batch.inputs.tolist() == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert batch.targets.tolist() == [[1, 2, 3, 4], [6, 7, 8, 9]]


def test_hidden_symbols_are_masked_replaced_or_kept_as_bert_does():
    symbols = torch.randint(50, (400, 100), generator=torch.Generator().manual_seed(0))
    batch = symbols_batch(symbols, num_symbols=50, is_causal=False, key=7)
    is_hidden = batch.targets != IGNORED
    assert (is_hidden.sum(dim=1) == 15).all()
    assert torch.equal(batch.targets[is_hidden], symbols[is_hidden])
    assert torch.equal(batch.inputs[~is_hidden], symbols[~is_hidden])
    shown, true = batch.inputs[is_hidden], symbols[is_hidden]
    # 6,000 hidden symbols: five standard errors are 0.026 at 80 % and 0.02 at 10 %.
    assert (shown == 50).double().mean().item() == pytest.approx(0.8, abs=0.026)
    is_other = (shown != 50) & (shown != true)
    assert is_other.double().mean().item() == pytest.approx(0.1 * 49 / 50, abs=0.02)
    assert (is_hidden.double().mean(dim=0) - 0.15).abs().max() < 0.1  # no place is preferred


def test_what_is_hidden_does_not_follow_from_the_example():
    # Brackets and masks of one key come from one counter; their words must not be the same ones.
    batch = dyck(num_types=1, num_tokens=24, is_causal=False, seed=0).stream.draw(2000)
    is_open = torch.where(batch.targets == IGNORED, batch.inputs, batch.targets) == 0
    is_hidden = batch.targets != IGNORED
    correlation = np.corrcoef(is_open[:, 1:].flatten(), is_hidden[:, 1:].flatten())[0, 1]
    assert abs(correlation) < 5 / math.sqrt(2000 * 23)


def test_hidden_rows_are_zeros_with_a_mark():
    values = torch.rand(64, 10, 3) + 1
    batch = rows_batch(values, (values * 10).long(), is_causal=False, key=1)
    mark = batch.inputs[..., -1]
    assert set(mark.unique().tolist()) == {0.0, 1.0} and (mark.sum(dim=1) == 4).all()
    assert torch.equal(batch.inputs[..., :-1], values * (1 - mark.unsqueeze(-1)))
    targets = batch.targets.view(64, 10, 3)
    assert (targets[mark == 0] == IGNORED).all() and torch.equal(targets[mark == 1], (values * 10).long()[mark == 1])


def test_baselines_have_closed_forms():
    assert unigram_entropy(np.array([3, 9, 3, 9])) == 1.0
    assert unigram_entropy(np.array([0, 0, 0, 1])) == pytest.approx(2 - 0.75 * math.log2(3))
    assert commonest(torch.tensor([IGNORED, IGNORED, IGNORED, 1, 1, 0])) == pytest.approx(2 / 3)
