import pytest

from models import Group
from models.groups import Pattern, assign

NAMES = ("a.weight", "a.bias", "norm.weight")


def test_first_match_wins_and_order_is_kept():
    patterns = (
        Pattern(r"norm\..*", Group.LAYERNORM),
        Pattern(r".*\.weight", Group.ATTENTION),
        Pattern(r".*", Group.OUTPUT),
    )
    groups = assign(NAMES, patterns)
    assert list(groups.items()) == [
        ("a.weight", Group.ATTENTION),
        ("a.bias", Group.OUTPUT),
        ("norm.weight", Group.LAYERNORM),
    ]


def test_uncovered_parameter_is_named():
    with pytest.raises(ValueError, match=r"'norm\.weight' is in no group"):
        assign(NAMES, (Pattern(r"a\..*", Group.ATTENTION),))


def test_a_pattern_matches_whole_names_only():
    with pytest.raises(ValueError, match=r"'a\.weight' is in no group"):
        assign(NAMES, (Pattern(r"a", Group.ATTENTION), Pattern(r"weight", Group.LAYERNORM)))


def test_pattern_without_parameter_is_named():
    with pytest.raises(ValueError, match=r"match no parameter: ln_f"):
        assign(NAMES, (Pattern(r".*", Group.ATTENTION), Pattern(r"ln_f", Group.LAYERNORM)))


def test_shadowed_pattern_counts_as_unmatched():
    with pytest.raises(ValueError, match=r"match no parameter: norm"):
        assign(NAMES, (Pattern(r".*", Group.ATTENTION), Pattern(r"norm\.weight", Group.LAYERNORM)))
