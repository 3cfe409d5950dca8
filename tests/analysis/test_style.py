import pytest

from analysis import style
from models import INITS


def test_every_init_of_the_project_has_a_look_of_its_own():
    looks = style.looks(INITS)
    assert len({look.colour for look in looks.values()}) == len(INITS)
    assert len({look.symbol for look in looks.values()}) == len(INITS)


def test_looks_do_not_depend_on_what_else_is_drawn():
    assert style.looks(["random", "language"])["language"] == style.looks(["language"])["language"]


def test_strangers_get_spare_looks():
    looks = style.looks(["checkpoint:b", "checkpoint:a", "language"])
    assert looks["checkpoint:a"] != looks["checkpoint:b"]


def test_variants_have_the_colour_of_their_kind_and_a_mark_of_their_own():
    looks = style.looks(["dyck", "dyck:8", "dyck:16", "language+bpe", "checkpoint:a"])
    variants = [looks[name] for name in ("dyck", "dyck:8", "dyck:16")]
    assert len({look.colour for look in variants}) == 1
    assert len({(look.symbol, look.dash) for look in variants}) == 3
    assert looks["language+bpe"].colour == style.INIT_LOOKS["language"].colour


@pytest.mark.parametrize(("value", "text"), [(0.3, "30.0"), (-0.012, "−1.2"), (-0.0001, "0.0")])
def test_points_keep_their_sign_but_no_negative_zero(value, text):
    assert style.points(value) == text


def test_labels_from_data_are_no_markup():
    assert style.label("<b>x</b> & y") == "&lt;b&gt;x&lt;/b&gt; &amp; y"
