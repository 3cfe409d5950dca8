import huggingface_hub
import pytest
from huggingface_hub import constants, errors
from transformers import GPT2Config, GPT2Model

from models import hub
from models.hub import PINNED, OfflineError, locate
from models.weights import load_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_silent_since", {})
    return tmp_path


@pytest.fixture
def offline(empty_cache, monkeypatch):
    """An empty hub cache, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return empty_cache


class Session:
    """A hub that answers, or raises what it is given; counts how often it was asked."""

    def __init__(self, error=None):
        self.error = error
        self.num_asked = 0

    def head(self, url, timeout):
        assert url == constants.ENDPOINT and 0 < timeout < 10
        self.num_asked += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def answering(monkeypatch):
    def answer(error=None):
        session = Session(error)
        monkeypatch.setattr(huggingface_hub, "get_session", lambda: session)
        return session

    return answer


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


@pytest.mark.parametrize("error", [errors.HTTPError("no route"), TimeoutError("too slow")])
def test_a_silent_hub_is_asked_once_and_no_file_is_tried(empty_cache, answering, monkeypatch, error):
    """The hub's own client would try for 25 seconds, for every run of a grid."""
    session = answering(error)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", None)
    for name in ("someone/tiny", "someone/other", "someone/tiny"):
        with pytest.raises(OfflineError, match=f"{name}@main is not in .* hf download {name} --revision main"):
            locate(name, with_weights=False)
    assert session.num_asked == 1
    monkeypatch.setattr(hub, "_SILENT_SECONDS", 0.0)
    with pytest.raises(OfflineError):
        locate("someone/tiny", with_weights=False)
    assert session.num_asked == 2


def test_a_hub_that_answers_is_asked_for_the_file(empty_cache, answering, monkeypatch, cached):
    answering()
    asked = []

    def download(repository, file, revision):
        asked.append((repository, file, revision))
        return str(cached / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert locate("someone/else@v2", with_weights=False).folder == cached
    assert asked == [("someone/else", "config.json", "v2")]


@pytest.mark.parametrize("raised", [errors.LocalEntryNotFoundError("gone"), errors.HTTPError("broke off")])
def test_a_download_that_breaks_off_is_told_like_no_network(empty_cache, answering, monkeypatch, raised):
    answering()

    def download(*_, **__):
        raise raised

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(OfflineError, match="with network run: hf download someone/tiny") as error:
        locate("someone/tiny", with_weights=False)
    assert "\n" not in str(error.value)


def test_a_cached_config_is_not_a_cached_checkpoint(cached):
    (cached / "model.safetensors").unlink()
    assert locate("someone/tiny", with_weights=False).folder == cached
    with pytest.raises(OfflineError, match="hf download someone/tiny"):
        locate("someone/tiny", with_weights=True)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "", "checkpoint:", "some one/tiny"])
def test_names_that_are_neither_folder_nor_hub_id(offline, name):
    with pytest.raises(ValueError, match="neither a folder nor a hub id"):
        locate(name, with_weights=False)
