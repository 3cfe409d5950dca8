import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bodies import architecture, position_table
from study.objectives.language import TextData
from study.objectives.make import data_of, make_objective
from study.pretrain import Pretraining
from study.pretraining_model import PretrainingModel
from study.pretraining_results import Pretrained, Progress
from study.pretraining_steps import flops_per_step, lr_factor, precision_on
from study.recipes import Recipe, recipe_for
from study.snapshot import from_bytes, to_bytes
from tasks.corpora import text_corpus
from tasks.source import Source

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


# Bit Memory at its smallest: quick to draw, quick to measure.
_FEW_BITS = (("num_patterns", 1), ("num_bits", 8), ("patch_size", 8), ("num_valid_examples", 64))


def _short(objective: str, **changes) -> Recipe:
    recipe = recipe_for(objective, body="gpt2", size="nano", num_steps=20)
    return dataclasses.replace(recipe, **{"batch_size": 4, "lr": 3e-3, **changes})


def _finish(pretraining: Pretraining) -> tuple[list[Progress], Pretrained]:
    while not pretraining.is_done:
        pretraining.advance()
    return pretraining.curve, pretraining.finished()


def _run(recipe: Recipe, data: Source | None) -> tuple[list[Progress], Pretrained]:
    return _finish(Pretraining(recipe, data=data, device=CPU))


def test_language_pretraining_learns_and_is_measured_in_bits_per_byte(mixed):
    curve, made = _run(_short("language", num_tokens=16), mixed)
    assert curve[0].step == 0 and curve[0].held_out_metric > 7  # near the 8 bits of a uniform guess
    assert curve[-1].step == 20 and curve[-1].held_out_metric < 4
    assert curve[-1].held_out_metric == pytest.approx(curve[-1].held_out_loss / math.log(2))
    assert curve[-1].num_tokens == 20 * 4 * 16
    assert made.objective.source["corpus_checksum"] == mixed.checksum
    assert made.train_flops == 20 * flops_per_step(_short("language", num_tokens=16), made.objective.layout)


def test_bit_memory_pretraining_passes_the_floor():
    curve, _ = _run(_short("bit-memory", num_steps=60, task_args=_FEW_BITS, batch_size=32), None)
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


def _without_clock(curve: list[Progress]) -> list[Progress]:
    return [dataclasses.replace(point, wall_seconds=0.0) for point in curve]


def test_wherever_it_is_interrupted_it_continues_bit_for_bit(mixed):
    """Before, between and after updates and measurements; through bytes, as from a file."""
    recipe = _short("language", num_steps=7, num_tokens=16, dropout=0.1)
    curve, whole = _run(recipe, mixed)
    num_stops = 0
    pretraining = Pretraining(recipe, data=mixed, device=CPU)
    while True:
        data = to_bytes(pretraining.state_dict(), {})
        resumed = Pretraining(recipe, data=mixed, device=CPU)
        torch.manual_seed(num_stops)  # whatever the global generator does in between
        resumed.load_state_dict(from_bytes(data, {}))
        assert resumed.step == pretraining.step and resumed.num_resumed == num_stops + 1
        num_stops += 1
        if resumed.is_done:
            break
        # One step further, in the resumed one: so every stop is a stop of a run that was stopped before.
        resumed.advance()
        pretraining = resumed
    assert num_stops == len(curve) + 7 + 1
    assert _without_clock(resumed.curve) == _without_clock(curve)
    state = resumed.finished().state
    assert all(torch.equal(state[name], tensor) for name, tensor in whole.state.items())


@pytest.mark.parametrize(
    ("init", "body"),
    [("bit-memory", "gpt2"), ("cellular-automata", "bert"), ("vision", "vit")],
)
def test_every_kind_of_stream_and_body_continues(init, body):
    recipe = recipe_for(init, body=body, size="nano", num_steps=100)  # so that only step 0 is measured
    recipe = dataclasses.replace(recipe, batch_size=2, dropout=0.1)
    data = data_of(recipe)
    pretraining = Pretraining(recipe, data=data, device=CPU)
    while pretraining.step < 1:
        pretraining.advance()
    resumed = Pretraining(recipe, data=data, device=CPU)
    resumed.load_state_dict(from_bytes(to_bytes(pretraining.state_dict(), {}), {}))
    while resumed.step < 3:
        pretraining.advance()
        resumed.advance()
    expected, found = pretraining.state_dict(), resumed.state_dict()
    assert all(torch.equal(found["model"][name], tensor) for name, tensor in expected["model"].items())
    assert torch.equal(expected["losses"], found["losses"]) and len(found["losses"]) == 3


def test_making_a_body_leaves_the_global_generator_alone(mixed):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _run(_short("language", num_steps=1, num_tokens=16, dropout=0.1), mixed)
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_not_finite_ends_it(mixed):
    with pytest.raises(FloatingPointError, match="no longer finite by step"):
        _run(_short("language", num_steps=5, num_tokens=16, lr=1e30), mixed)


@pytest.mark.parametrize("body", ["gpt2", "llama", "bert", "vit"])
def test_the_state_is_the_body_that_was_trained(body):
    recipe = dataclasses.replace(_short("bit-memory", num_steps=1, task_args=_FEW_BITS), body=body)
    _, made = _run(recipe, None)
    whole = architecture(body, size="nano")
    assert set(made.state) == set(whole.shapes)
    assert all(made.state[name].shape == shape for name, shape in whole.shapes.items())
    trained = [name for name in whole.core_shapes if not torch.isfinite(made.state[name]).all()]
    assert not trained


def test_the_pretrained_model_computes_what_its_state_computes_in_the_plain_body():
    recipe = _short("bit-memory", task_args=_FEW_BITS)
    objective = make_objective(recipe, None)
    whole = architecture("gpt2", size="nano")
    model = PretrainingModel(whole, objective, seed=0, dropout=0.0).eval()
    state = model.body()
    plain = whole.build(attention="eager", dropout=0.0).eval()
    plain.load_state_dict({name: state[name] for name in whole.core_shapes}, strict=False)
    inputs = objective.held_out.inputs[:4]
    positions = position_table(whole, state, objective.layout.num_tokens)
    assert positions is not None
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
        if field.name in ("corpus", "tokenizer"):  # the checksum stands for both
            continue
        value = changes.get(field.name, 77)
        keys.add(dataclasses.replace(recipe, **{field.name: value}).key("a"))
    assert len(keys) == 3 + len(dataclasses.fields(recipe)) - 2
    assert recipe.key("a") == recipe_for("language", body="gpt2", size="nano").key("a")


def test_larger_bodies_train_longer_at_a_lower_rate():
    recipes = [recipe_for("language", body="gpt2", size=size) for size in ("nano", "mini", "base")]
    assert [r.num_steps for r in recipes] == sorted(r.num_steps for r in recipes)
    assert [r.lr for r in recipes] == sorted((r.lr for r in recipes), reverse=True)
