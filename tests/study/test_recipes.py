import dataclasses

import pytest

from models import SIZES
from study.errors import UserError
from study.inits import PRETRAINED
from study.recipes import Recipe, recipe_for, recipe_of_run
from study.spec import RunSpec
from study.spec_checks import PRETRAINED_BODIES


def recipe_of(**fields) -> Recipe | None:
    return recipe_of_run(RunSpec(**{"task": "digits", "size": "nano", "num_steps": 2, "eval_every_steps": 1, **fields}))


@pytest.mark.parametrize("init", PRETRAINED)
def test_every_objective_has_a_recipe_for_every_body_at_every_size(init):
    for body in PRETRAINED_BODIES:
        for size in SIZES[body]:
            recipe = recipe_for(init, body=body, size=size)
            assert (recipe.objective, recipe.body, recipe.size) == (init, body, size)
            assert 0 < recipe.warmup_steps < recipe.num_steps


def test_fewer_steps_keep_the_share_of_the_warm_up():
    whole = recipe_for("language", body="gpt2", size="nano")
    short = recipe_for("language", body="gpt2", size="nano", num_steps=whole.num_steps // 10)
    assert short.warmup_steps == whole.warmup_steps // 10
    assert dataclasses.replace(short, num_steps=whole.num_steps, warmup_steps=whole.warmup_steps) == whole


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"init": "random"}, "unknown init that is pretrained 'random'"),
        ({"init": "statistics"}, "unknown init that is pretrained"),
        ({"body": "gpt3"}, "did you mean gpt2"),
        ({"size": "tiny"}, "unknown size of gpt2 'tiny'"),
        ({"body": "lstm"}, "lstm is never pretrained; use gpt2"),
        ({"num_steps": 0}, "at least 1"),
        ({"init": "cellular-automata:300"}, "from 0 to 255"),
    ],
)
def test_mistakes_are_refused(arguments, words):
    arguments = {"init": "language", "body": "gpt2", "size": "nano", **arguments}
    with pytest.raises(UserError, match=words):
        recipe_for(**arguments)


def test_an_argument_changes_the_recipe():
    assert dict(recipe_for("dyck:8", body="gpt2", size="nano").task_args)["num_types"] == 8
    assert dict(recipe_for("cellular-automata:30", body="bert", size="nano").task_args)["rule"] == 30
    assert dict(recipe_for("vision:mnist", body="vit", size="nano").task_args)["patch_size"] == 4
    asked = recipe_for("language:cpython-docs+some/tokenizer", body="gpt2", size="nano")
    assert (asked.corpus, asked.tokenizer) == ("cpython-docs", "some/tokenizer")


def test_a_run_names_its_body_or_none():
    assert recipe_of(init="random") is None
    assert recipe_of(init="language", size="base") is None  # the hub's GPT-2
    assert recipe_of(init="vision", body="vit", size="base") is None
    assert recipe_of(init="language", body_seed=3) == recipe_for("language", body="gpt2", size="nano", seed=3)
    assert recipe_of(init="vision", size="base") == recipe_for("vision", body="gpt2", size="base")


def test_an_argument_asks_for_pretraining_where_the_hub_has_weights():
    assert recipe_of(init="language:text", size="base") == recipe_for("language:text", body="gpt2", size="base")


def test_controls_come_from_the_body_of_seed_zero():
    assert recipe_of(init="shuffled", body_seed=5) == recipe_for("language", body="gpt2", size="nano")
    assert recipe_of(init="statistics:dyck:8", body_seed=5) == recipe_for("dyck:8", body="gpt2", size="nano")
    assert recipe_of(init="shuffled", body="bert", size="base") is None


def test_the_key_follows_the_content_and_not_the_name_of_the_data():
    one = recipe_for("language:text+here/tokenizer", body="gpt2", size="nano")
    other = recipe_for("language+there/tokenizer", body="gpt2", size="nano")
    assert one.key("aa") == other.key("aa") != one.key("bb")
    keys = {recipe_for(init, body="gpt2", size="nano").key(None) for init in ("dyck", "dyck:8", "cellular-automata")}
    assert len(keys) == 3


def test_a_size_without_a_name_scales_the_nearest_recipe():
    nano = recipe_for("language", body="gpt2", size="nano")
    assert recipe_for("language", body="gpt2", size="4x128") == nano
    small = recipe_for("language", body="gpt2", size="2x64")
    assert small == dataclasses.replace(nano, size="2x64")
    wide = recipe_for("language", body="gpt2", size="16x128")
    assert (wide.num_steps, wide.warmup_steps, wide.lr) == (2 * nano.num_steps, 2 * nano.warmup_steps, nano.lr)
    mini = recipe_for("vision", body="gpt2", size="mini")
    wide = recipe_for("vision", body="gpt2", size="6x448")
    assert wide.lr == pytest.approx(mini.lr * 384 / 448) and wide.num_steps == round(mini.num_steps * 448 / 384)
    assert wide.corpus == mini.corpus
