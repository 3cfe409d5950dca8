"""Every task can be made under both protocols without a file, and every mistake is refused in one line."""

import pytest

from tasks import TASKS
from tasks.catalogue import arguments, make_task


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("protocol", ["paper", "fixed"])
def test_every_task_is_made_without_files(name, protocol, data_folder):
    task = make_task(name, protocol=protocol, args={})
    assert task.name == name
    assert task.protocol == protocol
    assert "\n" not in task.protocol_note
    assert 0 < task.chance_accuracy <= 0.5
    assert task.num_examples("test") > 0
    assert list(data_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "protocol", "args", "message"),
    [
        ("cifar-10", "paper", {}, r"unknown task 'cifar-10' \(did you mean 'cifar10'\?\); choose one of bit-memory"),
        ("bit-xor", "papre", {}, r"unknown protocol 'papre' \(did you mean 'paper'\?\); choose one of paper, fixed"),
        ("bit-xor", "paper", {"num_bit": 5}, r"bit-xor has no argument 'num_bit' \(did you mean 'num_bits'\?\)"),
        ("bit-xor", "paper", {"num_bits": "5"}, "bit-xor: num_bits = '5' is of type str; give one of type int"),
        ("bit-xor", "paper", {"num_bits": True}, "bit-xor: num_bits = True is of type bool; give one of type int"),
        ("listops", "paper", {"source": "file"}, "source = 'file' is unknown; choose one of generated, files"),
        ("listops", "paper", {"max_tokens": 1.5}, "max_tokens = 1.5 is of type float; give one of type int"),
        ("cifar10-lra", "paper", {"patch_size": 4}, "cifar10-lra has no argument 'patch_size'; it takes none"),
    ],
)
def test_mistakes_are_refused_in_one_line(name, protocol, args, message):
    with pytest.raises(ValueError, match=message) as refusal:
        make_task(name, protocol=protocol, args=args)
    assert "\n" not in str(refusal.value)


def test_arguments_are_the_keywords_of_a_task():
    assert list(arguments("mnist")) == ["patch_size"]
    assert "protocol" not in arguments("listops")


def test_a_task_is_made_once_per_data_folder(monkeypatch, tmp_path):
    first = make_task("mnist", protocol="fixed", args={})
    assert make_task("mnist", protocol="fixed", args={}) is first
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    assert make_task("mnist", protocol="fixed", args={}) is not first
