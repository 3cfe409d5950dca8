"""How the recipe of a named size becomes that of another depth and width."""

from __future__ import annotations

from models import sizes


def factors(body: str, named: str, size: str) -> tuple[float, float]:
    """What to multiply a named size's steps and learning rate by.

    Steps grow with the square root of the body's parameters (size and data share compute evenly: Hoffmann et al. 2022,
    arXiv 2203.15556, table 2) and never fall, because tokens are cheap where bodies are small. The rate falls with the
    width (Adam's matrices: Yang et al. 2022, arXiv 2203.03466, table 3), as it does between the named sizes, and never
    rises: nano's is the highest that any body of ours has been made with.

    Args:
        body: a name of `models.BODIES`.
        named: the size whose recipe is known.
        size: the other one.
    """
    (depth, width, _), (own_depth, own_width, _) = (sizes.shape(body, each) for each in (named, size))
    ratio = own_depth * own_width**2 / (depth * width**2)
    return max(1.0, ratio**0.5), min(1.0, width / own_width)
