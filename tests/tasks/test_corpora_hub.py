"""Text of the hub, streamed by the real package `datasets` from a folder that stands for a repository."""

import pyarrow as pa
import pytest

from tasks import corpora_hub
from tasks.corpora_hub import HubName, hub_corpus
from tasks.files import MissingData

pytest.importorskip("datasets")


def table(*texts, column="text"):
    return pa.table({column: list(texts), "number": list(range(len(texts)))})


def test_documents_are_streamed_until_there_is_enough(repository, data_folder):
    repository(
        "owner/books", "plain", {"train": table("one\n", "", "zwei ü", "never read"), "validation": table("held")}
    )
    corpus = hub_corpus("hub:owner/books:plain", data_folder, num_bytes=11)
    text = corpus.read()
    # A line as it is, any other document with an empty line after it; no character is cut in two.
    assert text.train.tobytes() == b"one\nzwei " + "ü".encode()[:2]
    assert text.valid.tobytes() == b"held\n\n"
    assert corpus.name == "hub:owner/books:plain"


def test_without_a_validation_split_the_end_is_held_out(repository, data_folder):
    repository("owner/one", "default", {"train": table("x" * 998, column="content")})
    text = hub_corpus("hub:owner/one", data_folder, num_bytes=5000).read()
    assert (len(text.train), len(text.valid)) == (950, 50)


def test_what_was_fetched_is_kept_and_known_by_its_content(repository, data_folder, monkeypatch):
    repository("owner/books", "default", {"train": table("some text"), "validation": table("held")})
    first = hub_corpus("hub:owner/books", data_folder, num_bytes=100)
    monkeypatch.setattr(HubName, "load", lambda self: pytest.fail("asked again"))
    again = hub_corpus("hub:owner/books", data_folder, num_bytes=100)
    assert again == first
    (data_folder / "hub").rename(data_folder / "moved")
    (data_folder / "hub").mkdir()
    kept = next((data_folder / "moved").iterdir())
    kept.rename(data_folder / "hub" / kept.name)
    assert hub_corpus("hub:owner/books", data_folder, num_bytes=100).checksum == first.checksum


def test_whoever_comes_second_uses_what_the_first_one_kept(repository, data_folder, monkeypatch):
    repository("owner/books", "default", {"train": table("some text"), "validation": table("held")})
    publish = corpora_hub._publish

    def after_another(draft, folder):
        folder.mkdir()
        (folder / "text_train.txt").write_bytes(b"of another process")
        (folder / "text_valid.txt").write_bytes(b"held")
        publish(draft, folder)

    monkeypatch.setattr(corpora_hub, "_publish", after_another)
    corpus = hub_corpus("hub:owner/books", data_folder, num_bytes=100)
    assert corpus.read().train.tobytes() == b"of another process"
    assert [path.name[0] for path in (data_folder / "hub").iterdir()] != ["."]


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"test": table("a")}, "no split 'train', only test"),
        ({"train": pa.table({"a": ["x"], "b": ["y"]})}, "no column 'text' and not one column of strings, but a, b"),
    ],
)
def test_what_is_no_text_is_missing_data(repository, data_folder, splits, words):
    repository("owner/odd", "default", splits)
    with pytest.raises(MissingData, match=words) as refusal:
        hub_corpus("hub:owner/odd", data_folder, num_bytes=100)
    assert "\n" not in str(refusal.value)
    assert not list((data_folder / "hub").iterdir())


def test_out_of_reach_is_one_line_within_a_second(data_folder):
    name = "hub:Salesforce/wikitext:wikitext-103-raw-v1"
    with pytest.raises(
        MissingData, match=r"wikitext-103-raw-v1 is not in .*hub and out of reach \(no network"
    ) as refusal:
        hub_corpus(name, data_folder, num_bytes=1000)
    assert "\n" not in str(refusal.value)


def test_a_name_says_repository_configuration_and_revision():
    assert HubName.parse("hub:owner/name:some-part@main") == HubName("owner/name", "some-part", "main")
    assert HubName.parse("hub:name") == HubName("name", None, None)
