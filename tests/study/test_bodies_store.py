import json
import threading
from dataclasses import replace

import pytest
import torch

from models.bodies import architecture
from study.bodies import BodySource, MissingBody, load_body, resolve
from study.body_execution import BodyExecution
from study.body_store import has_body, publish, read_card, read_state
from study.ledger import Ledger
from study.spec import RunSpec
from study.storage import Storage, open_storage


def _spec(**changes) -> RunSpec:
    values = {"task": "bit-xor", "size": "nano", "init": "language", "num_steps": 1, "eval_every_steps": 1}
    return RunSpec(**{**values, **changes})


def _source(spec: RunSpec) -> BodySource | None:
    sources, lacking = resolve([spec])
    assert not lacking
    return sources.get(spec.run_id)


@pytest.fixture
def storage(tmp_path):
    return open_storage(str(tmp_path / "out"))


@pytest.fixture
def source(quick_body) -> BodySource:
    return quick_body


@pytest.fixture
def made(quick_body_ledger) -> Storage:
    """A store that holds this body."""
    return quick_body_ledger.storage


@pytest.mark.parametrize(
    ("changes", "objective", "seed"),
    [
        ({"init": "language", "body_seed": 3}, "language", 3),
        ({"init": "language", "size": "mini"}, "language", 0),
        ({"init": "language", "body": "llama"}, "language", 0),
        ({"init": "bit-memory", "size": "base", "body_seed": 1}, "bit-memory", 1),
        ({"init": "statistics", "body_seed": 5}, "language", 0),
        ({"init": "shuffled", "body_seed": 5}, "language", 0),
        ({"init": "language", "size": "base"}, None, None),
        ({"init": "random"}, None, None),
        ({"init": "checkpoint:somewhere", "size": None}, None, None),
    ],
)
def test_which_body_of_our_own_a_run_needs(changes, objective, seed):
    found = _source(_spec(**changes))
    if objective is None:
        assert found is None
    else:
        assert found is not None
        assert (found.recipe.objective, found.recipe.seed) == (objective, seed)


def test_the_corpus_is_part_of_the_key(monkeypatch, tmp_path):
    without = _source(_spec())
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "mine.txt").write_text("my own text")
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    with_text = _source(_spec())
    assert without is not None and with_text is not None
    assert with_text.data is not None and with_text.data.name == "text:mine.txt"
    assert without.key != with_text.key


def test_a_body_is_made_once_with_its_card(made, source):
    model = made.read(f"bodies/{source.key}/model.safetensors")
    again = BodyExecution(source, ledger=Ledger(made.uri), revision=None, device=torch.device("cpu"))
    assert list(again.steps()) == []
    assert (again.tally.ended, again.tally.failed) == (1, 0)
    assert made.read(f"bodies/{source.key}/model.safetensors") == model
    card = read_card(made, source.key)
    assert card["key"] == source.key and card["git_revision"] == "abc"
    assert (card["kind"], card["init"], card["num_resumed"]) == ("pretrained", "bit-memory", 0)
    assert [point["step"] for point in card["curve"]] == [0, 2, 4, 6, 8, 10, 12]
    assert card["held_out_metric"] == card["curve"][-1]["held_out_metric"]
    assert card["baseline_metric"] == 0.75 and card["is_better_lower"] is False
    assert card["train_flops"] > 0 and card["versions"]["torch"] == torch.__version__
    state = read_state(made, source.key)
    assert set(state) == set(architecture("gpt2", size="nano").shapes) == {each["name"] for each in card["tensors"]}
    assert card["num_params"] == sum(tensor.numel() for tensor in state.values())


def test_nothing_else_is_left_of_the_making(made):
    assert made.names("checkpoints") == made.names("leases") == []


def test_of_two_makers_one_wins_whole(storage):
    barrier = threading.Barrier(4)
    kept = []

    def make(number: int) -> None:
        barrier.wait()
        state = {"x": torch.full((1000,), float(number))}
        kept.append(publish(storage, state, {"key": "key", "number": number})["number"])

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(kept)) == 1
    tensors = read_state(storage, "key")
    assert tensors["x"].unique().tolist() == [kept[0]]


def test_a_maker_that_died_before_the_copy_of_the_card_left_a_whole_body(storage, tmp_path):
    publish(storage, {"x": torch.zeros(2)}, {"key": "key", "number": 1})
    card = tmp_path / "out" / "bodies" / "key" / "card.json"
    card.unlink()
    assert has_body(storage, "key")
    assert json.loads(card.read_text()) == {"key": "key", "number": 1}


def test_a_body_that_is_nowhere_is_named(storage, source):
    with pytest.raises(MissingBody, match="bit-memory body of gpt2 nano, seed 0"):
        load_body(_spec(init="bit-memory"), storage, source)
    assert not has_body(storage, source.key)


def test_a_shallow_body_is_the_beginning_of_the_whole(made, source):
    whole = read_state(made, source.key)
    body, state = load_body(_spec(init="bit-memory", num_layers=1), made, source)
    assert body.num_layers == 1 and set(state) == set(body.shapes)
    assert all(torch.equal(state[name], whole[name]) for name in state)


def test_controls_derive_from_the_pretrained_body(made, source):
    whole = read_state(made, source.key)
    name = "h.0.mlp.c_fc.weight"
    _, shuffled = load_body(_spec(init="shuffled"), made, source)
    assert torch.equal(shuffled[name].flatten().sort().values, whole[name].flatten().sort().values)
    assert not torch.equal(shuffled[name], whole[name])
    _, first = load_body(_spec(init="statistics"), made, source)
    _, second = load_body(_spec(init="statistics", body_seed=1), made, source)
    assert not torch.equal(first[name], second[name])
    assert first[name].std().item() == pytest.approx(whole[name].std().item(), rel=0.05)


def test_random_bodies_need_no_store(storage):
    _, state = load_body(_spec(init="random", body_seed=2), storage)
    _, again = load_body(replace(_spec(init="random", body_seed=2), seed=9), storage)
    assert all(torch.equal(state[name], again[name]) for name in state)


@pytest.mark.parametrize(("protocol", "is_as_released"), [("paper", True), ("fixed", False)])
def test_a_run_gets_its_protocols_lstm(storage, protocol, is_as_released):
    spec = RunSpec(
        task="bit-xor", protocol=protocol, body="lstm", size="nano", init="random", num_steps=1, eval_every_steps=1
    )
    body, state = load_body(spec, storage, None)
    assert body.config.is_as_released == is_as_released
    assert (state["layers.0.norm_cell.weight"] == 1).all().item() != is_as_released
