"""Every run's body has a card: drawn and derived ones one for all seeds, loaded ones one for each checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.bodies import architecture
from models.initialise import body_state
from models.weights import save_state
from study import body_cards
from study.bodies import BodySource, load_body, source_of
from study.body_cards import body_key, record_card
from study.body_store import publish, read_card
from study.recipes import recipe_for
from study.spec import RunSpec
from study.storage import Storage, open_storage

ALWAYS = {"key", "kind", "init", "body", "num_layers", "num_params", "tensors", "versions", "git_revision", "made_at"}


def _spec(**changes) -> RunSpec:
    values = {"task": "bit-xor", "size": "nano", "init": "random", "num_steps": 1, "eval_every_steps": 1}
    return RunSpec(**{**values, **changes})


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "out"))


@pytest.fixture
def source(storage: Storage) -> BodySource:
    """A language body that is in the store; its values are random."""
    source = source_of("language", recipe_for("language", body="gpt2", size="nano"))
    publish(storage, body_state(architecture("gpt2", size="nano"), "random", seed=7), {"key": source.key})
    return source


def _card(spec: RunSpec, storage: Storage, source: BodySource | None = None) -> dict:
    record_card(spec, storage=storage, source=source, revision="abc")
    key = body_key(spec, source)
    assert key is not None
    card = read_card(storage, key)
    assert set(card) >= ALWAYS and card["key"] == key and card["git_revision"] == "abc"
    return card


def test_a_drawn_body(storage: Storage) -> None:
    card = _card(_spec(body_seed=3, num_layers=2), storage)
    assert (card["kind"], card["init"], card["size"], card["body_seed"]) == ("drawn", "random", "nano", 3)
    assert card["num_layers"] == 4, "the whole body is described, whatever part of it a run uses"
    whole = body_state(architecture("gpt2", size="nano"), "random", seed=3)
    assert card["num_params"] == sum(tensor.numel() for tensor in whole.values())
    assert [each["name"] for each in card["tensors"]] == list(whole)
    (each,) = [each for each in card["tensors"] if each["name"] == "h.3.mlp.c_fc.weight"]
    assert (each["group"], each["layer"], each["shape"]) == ("feedforward", 3, [128, 512])
    assert each["std"] == pytest.approx(whole[each["name"]].std().item(), rel=1e-4)


def test_one_card_for_all_seeds_and_no_work_for_the_second(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    _card(_spec(), storage)
    monkeypatch.setattr(body_cards, "tensor_statistics", None)
    for seed in range(100):
        record_card(_spec(seed=seed, body_seed=seed), storage=storage, source=None, revision=None)
    monkeypatch.setattr(body_cards, "_seen", set())  # another process
    record_card(_spec(body_seed=5), storage=storage, source=None, revision=None)
    assert len(storage.names("bodies")) == 1


def test_keys_tell_apart_what_differs_in_more_than_the_seed() -> None:
    specs = [
        _spec(),
        _spec(init="random-scaled"),
        _spec(size="mini"),
        _spec(body="llama"),
        *(_spec(body="lstm", num_layers=depth, protocol=name) for depth in (1, 2) for name in ("paper", "fixed")),
    ]
    assert len({body_key(spec, None) for spec in specs}) == len(specs)
    assert body_key(_spec(protocol="paper"), None) == body_key(_spec(num_layers=1, body_seed=9), None)


@pytest.mark.parametrize("init", ["statistics", "shuffled"])
def test_a_derived_body_names_its_source(storage: Storage, source: BodySource, init: str) -> None:
    spec = _spec(init=init, body_seed=2, num_layers=1)
    card = _card(spec, storage, source)
    assert (card["kind"], card["source_key"], card["body_seed"]) == ("derived", source.key, 2)
    assert body_key(replace(spec, body_seed=4), source) == card["key"] != source.key
    _, state = load_body(replace(spec, num_layers=None), storage, source)
    means = {each["name"]: each["mean"] for each in card["tensors"]}
    assert all(tensor.double().mean().item() == pytest.approx(means[name]) for name, tensor in state.items())


def test_a_pretrained_body_is_recorded_by_its_own_key(storage: Storage, source: BodySource) -> None:
    spec = _spec(init="language")
    record_card(spec, storage=storage, source=source, revision=None)
    assert body_key(spec, source) == source.key
    assert storage.names("bodies") == [source.key]


def _folder(path: Path, dtype: torch.dtype, seed: int) -> Path:
    """A checkpoint of GPT-2 nano as transformers would write it."""
    body = architecture("gpt2", size="nano")
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(body.config.to_dict()))
    state = {name: tensor.to(dtype) for name, tensor in body_state(body, "random", seed=seed).items()}
    save_state(path / "model.safetensors", state)
    return path


def test_a_loaded_body_is_known_by_its_content(storage: Storage, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "mine", torch.float16, seed=1)
    spec = _spec(init=f"checkpoint:{folder}", size=None)
    card = _card(spec, storage)
    assert (card["kind"], card["checkpoint"], card["dtype"]) == ("loaded", str(folder), "float16")
    assert card["size"] is None and card["num_layers"] == 4
    assert body_key(replace(spec, seed=5), None) == card["key"]
    _folder(folder, torch.float16, seed=2)
    assert body_key(spec, None) != card["key"]


def test_a_checkpoint_that_is_nowhere_has_no_key(tmp_path: Path) -> None:
    assert body_key(_spec(init=f"checkpoint:{tmp_path}/absent", size=None), None) is None


def test_values_that_are_not_finite_are_missing_on_the_card(storage: Storage, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "mine", torch.float32, seed=1)
    state = body_state(architecture("gpt2", size="nano"), "random", seed=1)
    state["h.0.mlp.c_fc.weight"][0, 0] = torch.inf
    save_state(folder / "model.safetensors", state)
    card = _card(_spec(init=f"checkpoint:{folder}", size=None), storage)
    (each,) = [each for each in card["tensors"] if each["name"] == "h.0.mlp.c_fc.weight"]
    assert each["mean"] is None and each["spectral_norm"] is None
