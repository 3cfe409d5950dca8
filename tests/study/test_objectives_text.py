"""Text: windows, tokenizers, and bits per byte that compare between them."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from study.errors import UserError
from study.objectives.base import IGNORED
from study.objectives.baselines import unigram_entropy
from study.objectives.language import TextData, language
from study.objectives.make import data_of, make_objective
from study.objectives.tokenizer import encode, find
from study.recipes import recipe_for
from tasks.corpora import documentation, files_corpus
from tasks.files import DamagedData, MissingData

PROSE = ("The quick brown fox — naïve as ever — jumps over 3 lazy dogs.\n\n  Déjà vu: 日本語 and 😀😀!\n" * 40).encode()


@pytest.fixture(scope="module")
def byte_pairs() -> Tokenizer:
    """A byte-level tokenizer of 300 symbols, as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([PROSE.decode()], trainer)
    return tokenizer


@pytest.fixture(scope="module")
def folder(byte_pairs, tmp_path_factory) -> Path:
    """It as a folder with tokenizer.json."""
    place = tmp_path_factory.mktemp("pairs")
    byte_pairs.save(str(place / "tokenizer.json"))
    return place


def text_data(folder: Path, train: bytes, valid: bytes, tokenizer=None) -> TextData:
    folder.mkdir(exist_ok=True)
    (folder / "x_train.txt").write_bytes(train)
    (folder / "x_valid.txt").write_bytes(valid)
    corpus = files_corpus("text:x", sorted(folder.glob("*.txt")))
    return TextData(corpus.name, corpus.checksum, corpus, tokenizer)


@pytest.fixture
def letters(tmp_path) -> TextData:
    """Held-out bytes never occur in the training part."""
    return text_data(tmp_path / "text", b"abcdefgh" * 200, b"ABCDEFGH" * 200)


def make(data, *, num_tokens=8, is_causal=True, seed=0):
    return language(data, num_tokens=num_tokens, num_drawn=10_000, is_causal=is_causal, seed=seed)


def test_windows_predict_the_next_byte_of_their_own_part(letters):
    objective = make(letters)
    batch = objective.stream.draw(50)
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    after = {ord(a): ord(b) for a, b in zip("abcdefgh", "bcdefgha", strict=True)}
    assert batch.targets.flatten().tolist() == [after[symbol] for symbol in batch.inputs.flatten().tolist()]
    assert set(objective.held_out.inputs.flatten().tolist()) == set(b"ABCDEFGH")


def test_windows_start_anywhere(tmp_path):
    data = text_data(tmp_path / "text", bytes(range(20)), bytes(range(100, 120)))
    batch = make(data, num_tokens=4).stream.draw(400)
    counts = batch.inputs[:, 0].bincount(minlength=16)
    assert len(counts) == 16 and counts.min() > 5


def test_bodies_that_see_both_ways_fill_in_hidden_bytes(letters):
    objective = make(letters, num_tokens=20, is_causal=False)
    batch = objective.stream.draw(200)
    layout = objective.layout
    assert (layout.num_symbols, layout.num_classes, objective.metric) == (257, 256, "masked_bits_per_byte")
    assert ((batch.targets != IGNORED).sum(dim=1) == 3).all()
    whole = torch.where(batch.targets == IGNORED, batch.inputs, batch.targets)
    assert set(whole.flatten().tolist()) == set(b"abcdefgh") and (batch.inputs == 256).any()


@pytest.mark.parametrize("is_causal", [True, False])
def test_a_stream_continues_from_its_state(letters, is_causal):
    first, second = (make(letters, seed=3, is_causal=is_causal).stream for _ in range(2))
    first.draw(5)
    second.load_state_dict(first.state_dict())
    expected, found = first.draw(7), second.draw(7)
    assert torch.equal(found.inputs, expected.inputs) and torch.equal(found.targets, expected.targets)


def test_a_text_shorter_than_a_window_is_refused(letters):
    with pytest.raises(ValueError, match="a part of 1600 tokens is shorter than a window of 5001"):
        make(letters, num_tokens=5000)


def test_the_baseline_is_the_entropy_of_the_held_out_bytes(letters, tmp_path):
    assert make(letters).baseline == 3.0  # eight letters, each as often
    corpus = documentation()
    documents = make(TextData(corpus.name, corpus.checksum, corpus))
    assert documents.baseline == unigram_entropy(corpus.read().valid)


def test_every_byte_belongs_to_one_token(byte_pairs):
    tokens = encode(byte_pairs, PROSE)
    sizes = np.diff(tokens.ends, prepend=0)
    assert sizes.sum() == len(PROSE) and sizes.min() >= 0 and tokens.ids.dtype == np.uint16
    # A byte-level token is written with one letter for each of its bytes. Where a character is cut in two the package
    # gives both parts the same place, so single tokens are compared in ASCII only.
    pieces = [byte_pairs.id_to_token(symbol) for symbol in tokens.ids.tolist()]
    assert sum(map(len, pieces)) == len(PROSE)
    plain = encode(byte_pairs, b"The quick brown fox jumps.\n")
    assert np.diff(plain.ends, prepend=0).tolist() == [len(byte_pairs.id_to_token(i)) for i in plain.ids.tolist()]


def test_a_long_text_is_the_sum_of_its_lines(byte_pairs):
    long = PROSE * 40
    tokens = encode(byte_pairs, long)
    assert tokens.ends[-1] == len(long) and (np.diff(tokens.ends) >= 0).all()


@pytest.mark.parametrize("is_causal", [True, False])
def test_bits_per_byte_are_of_the_bytes_that_are_predicted(byte_pairs, folder, tmp_path, is_causal):
    tokenizer = find(str(folder), tmp_path)
    ascii_text = b"The quick brown fox jumps over lazy dogs, and so on and on.\n" * 30
    objective = make(text_data(tmp_path / "text", PROSE, ascii_text, tokenizer), is_causal=is_causal)
    predicted = objective.held_out.targets[objective.held_out.targets != IGNORED].tolist()
    num_bytes = sum(len(byte_pairs.id_to_token(symbol)) for symbol in predicted)
    assert num_bytes > len(predicted)
    nats = 2.5
    assert objective.measure(nats, 0.0) == pytest.approx(len(predicted) * nats / math.log(2) / num_bytes)
    assert objective.source["tokenizer_checksum"] == tokenizer.checksum


def test_a_uniform_guess_of_bytes_costs_eight_bits_whatever_the_body(letters):
    for is_causal in (True, False):
        assert make(letters, is_causal=is_causal).measure(math.log(256), 0.0) == pytest.approx(8.0)


def test_gpt2s_two_files_are_enough(byte_pairs, folder, tmp_path):
    byte_pairs.model.save(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merges.txt", "vocab.json"]
    alone = find(str(tmp_path), Path("/nowhere")).load()
    assert alone.encode("The quick fox").ids == byte_pairs.encode("The quick fox").ids
    assert alone.decode(alone.encode("naïve 日本").ids) == "naïve 日本"


def test_a_tokenizer_of_transformers_that_skips_blanks_leaves_no_byte_out(tmp_path):
    from transformers import BertTokenizer

    words = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "the", "fox", "##es", "jump", "."]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    tokenizer.save_pretrained(tmp_path / "words")
    (tmp_path / "words" / "tokenizer.json").unlink()
    (tmp_path / "words" / "vocab.txt").write_text("\n".join(words) + "\n")
    tokens = encode(find("words", tmp_path).load(), b"The  foxes jump .\n")
    assert [words[i] for i in tokens.ids] == ["the", "fox", "##es", "jump", "."]
    assert np.diff(tokens.ends, prepend=0).tolist() == [3, 5, 2, 5, 3]


def test_a_tokenizer_is_known_by_its_files_and_not_by_its_place(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    copied = find("copy", tmp_path)
    assert copied.checksum == find(str(folder), tmp_path).checksum
    content = json.loads((tmp_path / "copy" / "tokenizer.json").read_text())
    content["model"]["merges"].pop()
    (tmp_path / "copy" / "tokenizer.json").write_text(json.dumps(content))
    assert find("copy", tmp_path).checksum != copied.checksum


def test_what_is_no_tokenizer_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    with pytest.raises(UserError, match="holds none of: tokenizer"):
        find(str(tmp_path), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DamagedData, match="is no tokenizer that can be read"):
        find(str(tmp_path), tmp_path).load()
    with pytest.raises(MissingData, match=r"nobody/nothing is no folder.*hf download nobody/nothing") as refusal:
        find("nobody/nothing", tmp_path)
    assert "\n" not in str(refusal.value)


def test_only_bytes_take_text_that_is_not_utf8(tmp_path, folder):
    data = text_data(tmp_path / "text", b"\xff\xfe" * 500, b"\xff\xfe" * 500)
    assert make(data).layout.num_symbols == 256
    with pytest.raises(DamagedData, match="UTF-8"):
        make(text_data(tmp_path / "text", b"\xff\xfe" * 500, b"\xff" * 900, find(str(folder), tmp_path)))


def test_a_tokenizer_reads_a_part_of_a_long_text(tmp_path, folder):
    tokenizer = find(str(folder), tmp_path)
    long = "".join(f"Zeile {i}: größer, schöner, weiter.\n" for i in range(30_000)).encode()
    data = text_data(tmp_path / "text", long, PROSE, tokenizer)
    objective = language(data, num_tokens=16, num_drawn=20_000, is_causal=True, seed=0)
    shown = objective.stream.draw(300).inputs.unique(dim=0)
    assert len(shown) > 100
    decoded = tokenizer.load().decode(shown[0].tolist())
    assert decoded.strip() in long.decode()


def test_the_corpus_of_a_recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    default = data_of(recipe_for("language", body="gpt2", size="nano"))
    assert default is not None and default.name == "cpython-docs"
    with pytest.raises(MissingData, match=r"no .txt or .jsonl file in .*text"):
        data_of(recipe_for("language:text", body="gpt2", size="nano"))
    assert data_of(recipe_for("language:cpython-docs", body="gpt2", size="nano")) == default


def test_data_that_change_after_planning_are_refused(letters):
    letters.corpus.files[0].write_bytes(b"other")
    with pytest.raises(DamagedData, match="is not what it was"):
        make(letters)
    letters.corpus.files[0].unlink()
    with pytest.raises(MissingData, match="not on this machine"):
        make(letters)


def test_a_tokenizer_changes_the_key(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    shutil.copytree(folder, tmp_path / "mine")
    keys = set()
    for init in ("language", "language+mine", f"language+{tmp_path / 'mine'}"):
        recipe = recipe_for(init, body="gpt2", size="nano", num_steps=20)
        data = data_of(recipe)
        assert data is not None
        keys.add(recipe.key(data.checksum))
        assert make_objective(recipe, data).baseline is not None
    assert len(keys) == 2
