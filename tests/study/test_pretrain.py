import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bodies import architecture, position_table
from study.errors import UserError
from study.objectives.language import TextData
from study.objectives.make import make_objective
from study.pretrain import Pretrained, lr_factor, precision_on, pretrain
from study.pretraining_model import PretrainingModel
from study.recipes import Recipe, recipe_for
from tasks.corpora import text_corpus

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """As in a trial; on a busy machine a second thread makes steps as small as these many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def mixed(tmp_path) -> TextData:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "x.txt").write_bytes(b"abcdefgh" * 500)
    corpus = text_corpus(tmp_path)
    return TextData(corpus.name, corpus.checksum, corpus)


def _short(objective: str, **changes) -> Recipe:
    recipe = recipe_for(objective, body="gpt2", size="nano", num_steps=20)
    return dataclasses.replace(recipe, **{"batch_size": 4, "lr": 3e-3, **changes})


def _run(recipe, corpus):
    *curve, made = pretrain(recipe, data=corpus, device=CPU)
    assert isinstance(made, Pretrained)
    return curve, made


def test_language_pretraining_learns_and_is_measured_in_bits_per_byte(mixed):
    curve, made = _run(_short("language", num_tokens=16), mixed)
    assert curve[0].step == 0 and curve[0].held_out_metric > 7  # near the 8 bits of a uniform guess
    assert curve[-1].step == 20 and curve[-1].held_out_metric < 4
    assert curve[-1].held_out_metric == pytest.approx(curve[-1].held_out_loss / math.log(2))
    assert curve[-1].num_tokens == 20 * 4 * 16
    assert made.source["corpus_checksum"] == mixed.checksum


def test_bit_memory_pretraining_passes_the_floor():
    args = (("num_patterns", 1), ("num_bits", 8), ("patch_size", 8))
    curve, _ = _run(_short("bit-memory", num_steps=60, task_args=args, batch_size=32), None)
    assert curve[-1].held_out_metric > 0.95  # one pattern: what is hidden in the query stands before it


def test_equal_recipes_make_bit_identical_bodies_and_seeds_differ(mixed):
    recipe = _short("language", num_steps=3, num_tokens=16, dropout=0.1)
    torch.manual_seed(1)
    _, first = _run(recipe, mixed)
    torch.manual_seed(2)
    _, second = _run(recipe, mixed)
    _, other = _run(dataclasses.replace(recipe, seed=1), mixed)
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert not torch.equal(first.state["h.0.attn.c_attn.weight"], other.state["h.0.attn.c_attn.weight"])


@pytest.mark.parametrize("body", ["gpt2", "llama", "bert", "vit"])
def test_the_state_is_the_body_that_was_trained(body):
    recipe = dataclasses.replace(_short("bit-memory", num_steps=2), body=body)
    _, made = _run(recipe, None)
    whole = architecture(body, size="nano")
    assert set(made.state) == set(whole.shapes)
    assert all(made.state[name].shape == shape for name, shape in whole.shapes.items())
    trained = [name for name in whole.core_shapes if not torch.isfinite(made.state[name]).all()]
    assert not trained


def test_the_pretrained_model_computes_what_its_state_computes_in_the_plain_body():
    recipe = _short("bit-memory")
    objective = make_objective(recipe, None)
    whole = architecture("gpt2", size="nano")
    model = PretrainingModel(whole, objective, seed=0, dropout=0.0).eval()
    state = model.body()
    plain = whole.build(attention="eager", dropout=0.0).eval()
    plain.load_state_dict({name: state[name] for name in whole.core_shapes}, strict=False)
    inputs = objective.held_out.inputs[:4]
    positions = position_table(whole, state, objective.layout.num_tokens)
    hidden = torch.nn.functional.linear(inputs, model.input["weight"], model.input["bias"]) + positions
    read = plain(hidden)[:, -objective.layout.num_readouts :]
    logits = torch.nn.functional.linear(read, model.output["weight"], model.output["bias"])
    torch.testing.assert_close(model(inputs), logits.reshape(4, -1, 2), atol=1e-5, rtol=1e-4)


@settings(deadline=None)
@given(num_steps=st.integers(1, 500), warmup=st.integers(0, 50))
def test_the_learning_rate_warms_up_and_ends_at_a_twentieth(num_steps, warmup):
    warmup = min(warmup, num_steps - 1)
    recipe = dataclasses.replace(_short("language"), num_steps=num_steps, warmup_steps=warmup)
    factors = np.array([lr_factor(step, recipe) for step in range(num_steps)])
    assert (factors > 0).all() and (factors <= 1 + 1e-12).all()
    assert factors[max(0, warmup - 1)] == pytest.approx(1)
    assert (np.diff(factors[warmup:]) <= 0).all()
    assert lr_factor(num_steps, recipe) == pytest.approx(0.05)


def test_precision_follows_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False, "avx512_bf16": False})
    assert precision_on(CPU) == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True, "avx512_bf16": True})
    assert precision_on(CPU) == "bf16"


def test_a_key_names_everything_that_made_the_body():
    recipe = recipe_for("language", body="gpt2", size="nano")
    changes = {"objective": "x", "body": "x", "size": "x", "task_args": (("a", 1),)}
    keys = {recipe.key("a"), recipe.key("b"), recipe.key(None)}
    for field in dataclasses.fields(recipe):
        value = changes.get(field.name, 77)
        keys.add(dataclasses.replace(recipe, **{field.name: value}).key("a"))
    assert len(keys) == 3 + len(dataclasses.fields(recipe))
    assert recipe.key("a") == recipe_for("language", body="gpt2", size="nano").key("a")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"objective": "languages", "body": "gpt2", "size": "nano"}, "did you mean language"),
        ({"objective": "language", "body": "gtp2", "size": "nano"}, "did you mean gpt2"),
        ({"objective": "language", "body": "gpt2", "size": "nan"}, "did you mean nano"),
        ({"objective": "language", "body": "bert", "size": "nano"}, "sees both ways"),
        ({"objective": "language", "body": "gpt2", "size": "nano", "num_steps": 0}, "at least 1"),
    ],
)
def test_unknown_recipes_are_refused_in_one_line(arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        recipe_for(**arguments)
    assert "\n" not in str(caught.value)


def test_larger_bodies_train_longer_at_a_lower_rate():
    recipes = [recipe_for("language", body="gpt2", size=size) for size in ("nano", "mini", "base")]
    assert [r.num_steps for r in recipes] == sorted(r.num_steps for r in recipes)
    assert [r.lr for r in recipes] == sorted((r.lr for r in recipes), reverse=True)
