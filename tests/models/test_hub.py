import huggingface_hub
import pytest
from huggingface_hub import constants
from transformers import GPT2Config, GPT2Model

from models.hub import PINNED, OfflineError, locate
from models.weights import load_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty hub cache, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.fixture
def cached(offline):
    """The hub's cache as a download leaves it."""
    repository = offline / "models--someone--tiny"
    folder = repository / "snapshots" / COMMIT
    GPT2Model(GPT2Config(n_layer=1, n_embd=8, n_head=2, n_positions=4, vocab_size=5)).save_pretrained(folder)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return folder


@pytest.mark.parametrize("name", ["someone/tiny", f"someone/tiny@{COMMIT}", "checkpoint:someone/tiny@main"])
def test_a_cached_checkpoint_is_found_without_network(cached, name):
    located = locate(name, with_weights=True)
    assert located.folder == cached
    assert located.revision == COMMIT
    assert load_checkpoint(name, body="gpt2")[0].width == 8


def test_what_is_cached_is_used_without_asking_the_hub(cached, monkeypatch):
    def ask(*_, **__):
        raise AssertionError("asked the hub")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", ask)
    assert locate("someone/tiny", with_weights=True).folder == cached


@pytest.mark.parametrize("name", PINNED.values())
def test_an_absent_checkpoint_says_what_to_do_in_one_line(offline, name):
    with pytest.raises(OfflineError) as error:
        load_checkpoint(name)
    repository, revision = name.split("@")
    message = str(error.value)
    assert str(offline) in message
    assert f"hf download {repository} --revision {revision}" in message
    assert "\n" not in message


def test_a_cached_config_is_not_a_cached_checkpoint(cached):
    (cached / "model.safetensors").unlink()
    assert locate("someone/tiny", with_weights=False).folder == cached
    with pytest.raises(OfflineError, match="hf download someone/tiny"):
        locate("someone/tiny", with_weights=True)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "", "checkpoint:", "some one/tiny"])
def test_names_that_are_neither_folder_nor_hub_id(offline, name):
    with pytest.raises(ValueError, match="neither a folder nor a hub id"):
        locate(name, with_weights=False)
