"""Dropout and state streams: what a run draws does not depend on its pack."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import randomness
from models.randomness import DropoutStreams, NormalStreams

CPU = torch.device("cpu")


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=12),
    seeds=st.lists(st.integers(0, 9), min_size=1, max_size=4),
)
def test_masks_of_a_run_are_the_same_alone_and_packed(sizes: list[int], seeds: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(randomness, "CHUNK", 64)
        packed = DropoutStreams(seeds, CPU)
        alone = [DropoutStreams([seed], CPU) for seed in seeds]
        for size in sizes:
            masks = packed.keep_mask(size, 0.5, torch.float32)
            for row, stream in enumerate(alone):
                assert torch.equal(masks[row : row + 1], stream.keep_mask(size, 0.5, torch.float32))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_drop_with_the_probability_and_keep_the_mean(p: float) -> None:
    mask = DropoutStreams([3], CPU).keep_mask(200_000, p, torch.float64)
    # Standard error of a share of 200,000 is at most 0.0011.
    assert (mask == 0).double().mean().item() == pytest.approx(p, abs=0.005)
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)], rel=1e-3)
    assert mask.mean().item() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("num_before", [0, 10, 70])
def test_streams_continue_from_a_saved_state_after_a_neighbour_left(
    num_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(randomness, "CHUNK", 64)
    streams = DropoutStreams([1, 2, 3], CPU)
    streams.keep_mask(20, 0.5, torch.float32)
    streams.keep([0, 2])
    if num_before:
        streams.keep_mask(num_before, 0.5, torch.float32)
    state = streams.state_dict()
    restored = DropoutStreams([1, 3], CPU)
    restored.load_state_dict(state)
    for size in (5, 40, 100, 3):
        expected = streams.keep_mask(size, 0.5, torch.float32)
        assert torch.equal(restored.keep_mask(size, 0.5, torch.float32), expected)


def test_different_seeds_give_different_masks() -> None:
    masks = DropoutStreams([1, 2], CPU).keep_mask(1000, 0.5, torch.float32)
    assert not torch.equal(masks[0], masks[1])


def test_states_of_a_run_are_the_same_alone_packed_and_restored() -> None:
    packed = NormalStreams.seeded([1, 2], CPU)
    alone = NormalStreams.seeded([2], CPU)
    assert torch.equal(packed.normal(8, 3)[4:], alone.normal(4, 3))
    restored = NormalStreams.seeded([7, 7], CPU)
    restored.load_state_dict(packed.state_dict())
    assert torch.equal(restored.keep([1]).normal(4, 3), alone.normal(4, 3))
