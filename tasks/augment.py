"""Random views of training images, on the device: the released code's crop, flip and rotation as one gather.

The released code (cifar10.py) applies torchvision's RandomCrop(32, padding=4), RandomHorizontalFlip() and
RandomRotation(20), in this order, before normalising: black outside, nearest pixel. Going backwards from each output
pixel through rotation, flip and crop to the stored pixel needs only index arithmetic.
"""

from __future__ import annotations

import math

import torch

from tasks import counter

PADDING_PIXELS = 4
MAX_DEGREES = 20.0


def random_views(images: torch.Tensor, key: int, first: int) -> torch.Tensor:
    """Views of images; view i depends on the key and `first + i` only.

    Args:
        images: [N, C, S, S] of any type.
        key: what the views are derived from.
        first: number of views drawn before.

    Returns:
        [N, C, S, S] of the same type.
    """
    draws = counter.words(key, first, len(images), 4, images.device)
    shifts = counter.below(draws[:, :2], 2 * PADDING_PIXELS + 1) - PADDING_PIXELS
    is_flipped = draws[:, 2] < 0
    radians = (2 * counter.uniforms(draws[:, 3]) - 1) * math.radians(MAX_DEGREES)
    return views(images, shifts, is_flipped, radians)


def views(images: torch.Tensor, shifts: torch.Tensor, is_flipped: torch.Tensor, radians: torch.Tensor) -> torch.Tensor:
    """Shift, then mirror, then rotate each image about its centre; black where nothing is.

    Args:
        images: [N, C, S, S].
        shifts: [N, 2] int64, rows and columns: output pixel (y, x) shows pixel (y + shift, x + shift).
        is_flipped: [N] bool, mirror left and right.
        radians: [N], from the x axis towards the y axis.
    """
    num_images, num_channels, side, _ = images.shape
    centre = (side - 1) / 2
    axis = torch.arange(side, device=images.device) - centre
    sine, cosine = radians.sin().view(-1, 1, 1), radians.cos().view(-1, 1, 1)
    column = (cosine * axis - sine * axis.unsqueeze(1) + centre).round().long()
    row = (sine * axis + cosine * axis.unsqueeze(1) + centre).round().long()
    is_inside = _within(row, side) & _within(column, side)
    column = torch.where(is_flipped.view(-1, 1, 1), side - 1 - column, column) + shifts[:, 1].view(-1, 1, 1)
    row = row + shifts[:, 0].view(-1, 1, 1)
    is_inside &= _within(row, side) & _within(column, side)
    index = torch.where(is_inside, row * side + column, 0).view(num_images, 1, -1).expand(-1, num_channels, -1)
    seen = images.flatten(2).gather(2, index).view_as(images)
    return seen * is_inside.unsqueeze(1)


def _within(coordinate: torch.Tensor, side: int) -> torch.Tensor:
    return (coordinate >= 0) & (coordinate < side)
