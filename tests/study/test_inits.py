import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import INITS
from study.errors import UserError
from study.inits import PRETRAINED, Init, parse
from study.objectives.make import _MAKERS
from study.spec import RunSpec

SPEC = {"task": "digits", "size": "nano", "num_steps": 2, "eval_every_steps": 1}


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("cellular-automata:110", "cellular-automata"),
        ("cellular-automata:030", "cellular-automata:30"),
        ("dyck:64", "dyck"),
        ("language+bytes", "language"),
        ("language:text+bytes", "language:text"),
        ("statistics:language", "statistics"),
        ("shuffled:cellular-automata:110", "shuffled:cellular-automata"),
    ],
)
def test_a_default_that_is_spelled_out_is_the_same_run(long, short):
    assert str(parse(long)) == short
    assert RunSpec(**SPEC, init=long).run_id == RunSpec(**SPEC, init=short).run_id


@pytest.mark.parametrize("name", sorted(INITS))
def test_a_name_alone_stays_as_it_is(name):
    assert parse(name) == Init(name) and str(parse(name)) == name


@pytest.mark.parametrize(
    "init",
    [
        "language:wikitext-103",
        "language:hub:Salesforce/wikitext:wikitext-2-raw-v1@main",
        "language+/home/me/a+b",
        "language:text+openai-community/gpt2@main",
        "vision:hub:ylecun/mnist",
        "shuffled:language:text+gpt2_tokenizer",
    ],
)
def test_other_arguments_are_kept(init):
    assert str(parse(init)) == init and parse(str(parse(init))) == parse(init)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("langage:text", "did you mean language"),
        ("random:3", "'random' takes no argument, not '3'"),
        ("bit-memory:", "takes no argument"),
        ("cellular-automata:256", "whole number from 0 to 255, not '256'"),
        ("cellular-automata:-1", "from 0 to 255"),
        ("cellular-automata:", "from 0 to 255, not ''"),
        ("cellular-automata:3.0", "from 0 to 255"),
        ("dyck:0", "from 1 to 1024"),
        ("vision:cifar", "did you mean cifar10"),
        ("language:wikitext", "did you mean wikitext-103"),
        ("language:hub:", "hub:<data set>"),
        ("language+", "names no tokenizer"),
        ("shuffled:random", "unknown body to make a control from 'random'"),
        ("shuffled:dyck:0", "from 1 to 1024"),
    ],
)
def test_mistakes_are_one_line(init, words):
    with pytest.raises(UserError, match=words) as refusal:
        parse(init)
    assert "\n" not in str(refusal.value)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(["", *INITS]), st.sampled_from(["", ":", "+", ":text+"]), st.text(max_size=8))
def test_whatever_is_accepted_has_one_spelling(name, mark, text):
    try:
        found = parse(name + mark + text)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert parse(str(found)) == found


def test_controls_name_the_body_they_are_made_from():
    assert parse("shuffled").pretrained == Init("language")
    assert parse("statistics:vision:mnist").pretrained == Init("vision", "mnist")
    assert parse("dyck:8").pretrained == Init("dyck", "8")
    assert parse("random").pretrained is None


def test_every_pretrained_init_has_an_objective():
    assert tuple(_MAKERS) == PRETRAINED and set(PRETRAINED) < set(INITS)
