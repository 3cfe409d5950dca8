"""Streams: draws add up, passes are permutations, and a saved stream continues exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base import Batch
from tasks.catalogue import make_task
from tasks.streams import ArrayStream, Examples

CPU = torch.device("cpu")


def numbered_stream(size, key=5, augment=None):
    examples = Examples(torch.arange(size).unsqueeze(1), torch.arange(size).unsqueeze(1))
    return ArrayStream(examples, lambda e: Batch(e.inputs, e.targets), key=key, augment=augment)


def drawn(stream, sizes):
    return torch.cat([stream.draw(size).targets.flatten() for size in sizes])


@settings(deadline=None, max_examples=50)
@given(size=st.integers(1, 12), draws=st.lists(st.integers(1, 15), min_size=1, max_size=6))
def test_any_draws_give_the_same_examples_and_passes_are_permutations(size, draws):
    total = sum(draws)
    pieces = drawn(numbered_stream(size), draws)
    assert torch.equal(pieces, drawn(numbered_stream(size), [total]))
    for start in range(0, total - size + 1, size):
        assert sorted(pieces[start : start + size].tolist()) == list(range(size))


def test_passes_and_seeds_have_different_orders():
    order = drawn(numbered_stream(100), [200])
    assert not torch.equal(order[:100], order[100:])
    assert not torch.equal(order, drawn(numbered_stream(100, key=6), [200]))


def test_augmentation_sees_the_position_in_the_stream():
    positions = []

    def augment(inputs, key, first):
        positions.append(first)
        return inputs + 1000

    stream = numbered_stream(10, augment=augment)
    assert stream.draw(4).inputs.min() >= 1000
    stream.draw(4)
    assert positions == [0, 4]
    assert stream.examples().inputs.max() == 9


STREAMS = {
    "bit-memory": {"num_bits": 8, "patch_size": 4},
    "bit-xor": {},
    "digits": {},
    "listops": {"min_length": 5, "max_length": 20, "num_train_examples": 60, "num_valid_examples": 9},
}


@pytest.mark.parametrize("name", STREAMS)
def test_two_draws_of_8_are_one_of_16(name):
    task = make_task(name, protocol="fixed", args=STREAMS[name])
    halves, whole = task.stream(3, CPU), task.stream(3, CPU).draw(16)
    first, second = halves.draw(8), halves.draw(8)
    assert torch.equal(torch.cat([first.inputs, second.inputs]), whole.inputs)
    assert torch.equal(torch.cat([first.targets, second.targets]), whole.targets)
    assert not torch.equal(whole.inputs, task.stream(4, CPU).draw(16).inputs)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("num_train_examples", [None, 20])
def test_a_saved_stream_continues_exactly(name, num_train_examples):
    task = make_task(name, protocol="fixed", args=STREAMS[name])
    stream = task.stream(0, CPU, num_train_examples)
    stream.draw(37)
    state = stream.state_dict()
    expected = stream.draw(50)
    restored = task.stream(0, CPU, num_train_examples)
    restored.load_state_dict(state)
    assert torch.equal(restored.draw(50).inputs, expected.inputs)


@pytest.mark.parametrize("name", STREAMS)
def test_a_subset_is_small_seeded_and_seen_again(name):
    task = make_task(name, protocol="fixed", args=STREAMS[name])
    stream = task.stream(0, CPU, num_train_examples=7)
    subset = {tuple(row) for row in stream.examples().inputs.flatten(1).tolist()}
    assert len(stream.examples().targets) == 7
    assert {tuple(row) for row in stream.draw(50).inputs.flatten(1).tolist()} == subset
    other = task.stream(1, CPU, num_train_examples=7).examples().inputs.flatten(1).tolist()
    assert {tuple(row) for row in other} != subset


@pytest.mark.parametrize(("name", "size", "allowed"), [("digits", 1080, "1 to 1079"), ("bit-xor", 0, "1 or more")])
def test_an_impossible_subset_is_refused(name, size, allowed):
    task = make_task(name, protocol="fixed", args={})
    with pytest.raises(ValueError, match=f"num_train_examples = {size} does not fit {name}; give {allowed}"):
        task.stream(0, CPU, num_train_examples=size)
