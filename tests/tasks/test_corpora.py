import json
import lzma

import numpy as np
import pytest

from tasks.corpora import Corpus, text_corpus
from tasks.files import DamagedData


def _write(root, files):
    folder = root / "text"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _lines(*texts):
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def test_without_files_the_corpus_is_cpythons_documentation(tmp_path):
    corpus = text_corpus(tmp_path)
    text = corpus.read()
    assert corpus.name == "cpython-docs"
    assert text.train.dtype == text.valid.dtype == np.uint8
    whole = text.train.tobytes() + text.valid.tobytes()
    assert b"assert" in whole and len(whole) > 300_000
    assert len(text.valid) / len(whole) == pytest.approx(0.05, abs=1e-4)


def test_checksum_names_the_content(tmp_path):
    _write(tmp_path, {"a.txt": b"one text"})
    first = text_corpus(tmp_path)
    assert first.checksum == text_corpus(tmp_path).checksum
    _write(tmp_path, {"a.txt": b"two text"})
    assert text_corpus(tmp_path).checksum != first.checksum
    (tmp_path / "text" / "a.txt").rename(tmp_path / "text" / "b.txt")
    assert text_corpus(tmp_path).name == "text:b.txt"


def test_splits_follow_the_names_and_formats_agree(tmp_path):
    _write(
        tmp_path,
        {
            "books_train.jsonl.xz": lzma.compress(_lines("first", "zweiter Ä")),
            "books_valid.jsonl": _lines("held out"),
            "SOURCE.txt": b"where they come from",
        },
    )
    text = text_corpus(tmp_path).read()
    assert text.train.tobytes().decode() == "first\n\nzweiter Ä"
    assert text.valid.tobytes() == b"held out"


def test_the_tail_of_other_files_is_held_out(tmp_path):
    _write(tmp_path, {"a.txt": b"a" * 95 + b"A" * 5, "b.txt": b"b" * 190 + b"B" * 10})
    text = text_corpus(tmp_path).read()
    assert text.train.tobytes() == b"a" * 95 + b"\n\n" + b"b" * 190
    assert text.valid.tobytes() == b"A" * 5 + b"\n\n" + b"B" * 10


def test_a_train_file_alone_gives_its_own_tail(tmp_path):
    _write(tmp_path, {"a_train.txt": b"x" * 100})
    text = text_corpus(tmp_path).read()
    assert (len(text.train), len(text.valid)) == (95, 5)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt.xz", lzma.compress(b"text" * 1000)[:-20], "a.txt.xz"),
        ("a.jsonl", _lines("good") + b'{"text": ', "line 2 is not JSON"),
        ("a.jsonl", b'{"body": "x"}\n', 'line 1 is no object with a string "text"'),
        ("a.txt", b"", "holds no text"),
        ("a_valid.txt", b"only held out", "nothing to train on"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, name, content, words):
    _write(tmp_path, {name: content})
    with pytest.raises(DamagedData, match=words) as caught:
        text_corpus(tmp_path).read()
    assert "\n" not in str(caught.value)


def test_another_pythons_documentation_is_not_taken_for_the_planned_one():
    with pytest.raises(DamagedData, match="the same Python on every machine"):
        Corpus("cpython-docs", "0" * 64).read()
