"""Random views against padding, slicing, flipping and torch's own rotation."""

import math

import pytest
import torch
import torch.nn.functional as F

from tasks import augment, counter

KEY = counter.key("views")


def reference_view(image, shift, is_flipped, radians):
    """[C, S, S] -> the same, one step after the other; rotation by affine_grid and nearest grid_sample."""
    side, pad = image.shape[-1], augment.PADDING_PIXELS
    top, left = pad + shift[0], pad + shift[1]
    view = F.pad(image, (pad, pad, pad, pad))[:, top : top + side, left : left + side]
    view = view.flip(-1) if is_flipped else view
    cosine, sine = math.cos(radians), math.sin(radians)
    theta = torch.tensor([[[cosine, -sine, 0.0], [sine, cosine, 0.0]]])
    grid = F.affine_grid(theta, [1, *view.shape], align_corners=False)
    return F.grid_sample(view[None], grid, mode="nearest", padding_mode="zeros", align_corners=False)[0]


@pytest.mark.parametrize("degrees", [0.0, 20.0, -13.0])
@pytest.mark.parametrize("is_flipped", [False, True])
@pytest.mark.parametrize("shift", [(0, 0), (4, -3), (-4, 2)])
def test_views_are_crop_flip_and_rotation(degrees, is_flipped, shift):
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    radians = math.radians(degrees)
    found = augment.views(image[None], torch.tensor([shift]), torch.tensor([is_flipped]), torch.tensor([radians]))[0]
    expected = reference_view(image, shift, is_flipped, radians)
    # Pixels half way between two neighbours may be rounded either way.
    assert (found != expected).any(dim=0).float().mean() < 0.005
    if degrees == 0:
        assert torch.equal(found, expected)


def test_random_views_use_the_whole_range_and_nothing_else(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        augment, "views", lambda images, shifts, is_flipped, radians: seen.update(s=shifts, f=is_flipped, r=radians)
    )
    augment.random_views(torch.zeros(4000, 1, 2, 2), KEY, 0)
    assert seen["s"].unique().tolist() == list(range(-4, 5))
    assert 0.45 < seen["f"].float().mean() < 0.55
    assert seen["r"].abs().max() == pytest.approx(math.radians(20), rel=0.01)
    assert abs(seen["r"].mean()) < math.radians(1)


def test_views_depend_on_their_number_and_key_only():
    images = torch.arange(6 * 64, dtype=torch.uint8).view(6, 1, 8, 8)
    whole = augment.random_views(images, KEY, 10)
    assert torch.equal(whole[4:], augment.random_views(images[4:], KEY, 14))
    assert not torch.equal(whole, augment.random_views(images, KEY, 11))
    assert not torch.equal(whole, augment.random_views(images, KEY + 1, 10))
    assert whole.dtype == torch.uint8
