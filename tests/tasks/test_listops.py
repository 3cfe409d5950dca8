"""ListOps as a task: the worked example under both protocols, splits, floors, and damaged files."""

import os
from pathlib import Path

import pytest
import torch

from tasks.catalogue import make_task
from tasks.expressions import evaluate
from tasks.files import DamagedData, MissingData
from tasks.listops_files import read

CPU = torch.device("cpu")
SHORT = {"min_length": 5, "max_length": 30, "num_train_examples": 400, "num_valid_examples": 50}
SHORT["num_test_examples"] = 60

ARENA = "Source\tTarget\n( ( ( [MAX 2 ) ( ( ( [SM 9 ) 4 ) ] ) ) ] )\t3\n( ( ( [MIN 2 ) 1 ) ] )\t1\n"
ORIGINAL = "3\t( ( ( [MAX 2 ) ( ( ( [SM 9 ) 4 ) ] ) ) ] )\n1\t( ( ( [MIN 2 ) 1 ) ] )\n"


def file_task(protocol, folder, texts, **args):
    (folder / "listops").mkdir()
    for name, text in zip(("train", "val", "test"), texts, strict=True):
        (folder / "listops" / f"basic_{name}.tsv").write_text(text)
    counts = {f"num_{split}_examples": 2 for split in ("train", "valid", "test")}
    return make_task("listops", protocol=protocol, args={"source": "files", **counts, **args})


@pytest.mark.parametrize("text", [ARENA, ORIGINAL, ARENA.replace("\n", "\r\n")])
def test_fixed_keeps_brackets_and_reads_the_last_real_token(data_folder, text):
    task = file_task("fixed", data_folder, [text] * 3, max_tokens=9)
    batch = task.split("test", CPU)
    assert batch.inputs.tolist() == [[12, 3, 14, 10, 5, 15, 15, 0, 0], [11, 3, 2, 15, 0, 0, 0, 0, 0]]
    assert batch.targets.tolist() == [[3], [1]]
    assert batch.lengths.tolist() == [7, 4]
    assert task.layout.reads_last_real
    assert task.layout.masks_padding
    assert task.layout.num_symbols == 16


def test_paper_drops_closing_brackets_and_reads_the_last_position(data_folder):
    task = file_task("paper", data_folder, [ARENA] * 3, max_tokens=9)
    batch = task.split("test", CPU)
    assert batch.inputs.tolist() == [[12, 3, 14, 10, 5, 0, 0, 0, 0], [11, 3, 2, 0, 0, 0, 0, 0, 0]]
    assert batch.lengths is None
    assert not task.layout.reads_last_real
    assert task.layout.num_symbols == 15


def test_long_expressions_are_cut(data_folder):
    batch = file_task("fixed", data_folder, [ARENA] * 3, max_tokens=4).split("test", CPU)
    assert batch.inputs.tolist() == [[12, 3, 14, 10], [11, 3, 2, 15]]
    assert batch.lengths.tolist() == [4, 4]


def test_default_widths_are_those_of_the_protocols():
    assert make_task("listops", protocol="paper", args={}).layout.num_tokens == 512
    assert make_task("listops", protocol="fixed", args={}).layout.num_tokens == 1999
    assert make_task("listops", protocol="fixed", args={"source": "files"}).layout.num_tokens == 2048


def test_generated_splits_are_disjoint_and_as_large_as_asked():
    task = make_task("listops", protocol="fixed", args=SHORT)
    splits = {name: task.split(name, CPU) for name in ("train", "valid", "test")}
    assert {name: len(batch.targets) for name, batch in splits.items()} == {"train": 400, "valid": 50, "test": 60}
    rows = torch.cat([batch.inputs for batch in splits.values()])
    assert len(rows.unique(dim=0)) == 510
    for batch in splits.values():
        for symbols, length, target in zip(batch.inputs, batch.lengths, batch.targets, strict=True):
            assert evaluate(bytes(symbols[:length].tolist())) == target.item()


def test_the_test_split_does_not_depend_on_the_amount_of_training_data():
    few = make_task("listops", protocol="fixed", args=SHORT | {"num_train_examples": 10})
    many = make_task("listops", protocol="fixed", args=SHORT)
    assert torch.equal(few.split("test", CPU).inputs, many.split("test", CPU).inputs)
    assert torch.equal(few.split("valid", CPU).inputs, many.split("valid", CPU).inputs)


@pytest.mark.parametrize("protocol", ["paper", "fixed"])
def test_the_floor_is_what_the_first_token_predicts(protocol):
    task = make_task("listops", protocol=protocol, args=SHORT | {"num_train_examples": 4000, "num_test_examples": 2000})
    train, test = task.split("train", CPU), task.split("test", CPU)
    hits = 0
    for operator in range(11, 15):
        labels = train.targets[train.inputs[:, 0] == operator].flatten()
        guess = max(range(10), key=lambda label: (labels == label).sum().item())
        hits += (test.targets[test.inputs[:, 0] == operator] == guess).sum().item()
    assert task.floor_accuracy == pytest.approx(hits / 2000)
    assert task.floor_accuracy > 0.25


def test_more_expressions_than_there_are_is_refused():
    task = make_task("listops", protocol="fixed", args=SHORT | {"max_length": 5, "num_train_examples": 9000})
    with pytest.raises(ValueError, match=r"listops: 9110 different expressions asked for, \d+ found"):
        task.check()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ARENA.rsplit("\n", 2)[0], "found 1 expressions, expected 2"),
        (ARENA.replace("\t1\n", "\t"), "line 3 has no label 0 to 9"),
        (ARENA.replace("\t1\n", "\t12\n"), "line 3 has no label 0 to 9"),
        (ARENA.replace("\t3", " 3"), "line 2 has no label 0 to 9"),
        (ARENA.replace("[MIN", "[AVG"), "line 3 has an unknown symbol"),
        (ARENA.replace("2 ) 1 ) ]", "21 ) ]"), "line 3 has symbols that are not divided by spaces"),
        (ARENA.replace("1 ) ] )", "1 ) )"), r"line 3 has 1 operators and 0 \]"),
        ("", "found 0 expressions, expected 2"),
    ],
)
def test_damaged_files_are_refused_with_their_line(data_folder, text, message):
    task = file_task("fixed", data_folder, [ARENA, ARENA, text])
    with pytest.raises(DamagedData, match=f"basic_test.tsv: {message}") as refusal:
        task.check()
    assert "\n" not in str(refusal.value)


def test_missing_files_are_named_with_where_and_what_to_do(data_folder):
    task = make_task("listops", protocol="fixed", args={"source": "files"})
    with pytest.raises(MissingData, match=r"no basic_train.tsv, .* in .*listops; copy them there from"):
        task.check()


@pytest.mark.data
def test_every_original_expression_has_the_value_of_its_label():
    path = Path(os.environ.get("STUDY_DATA", "/nonexistent")) / "listops" / "test_d20s.tsv"
    if not path.exists():
        pytest.skip("listops/test_d20s.tsv is not in STUDY_DATA")
    expressions = read(path, num_expected=10_000)
    assert [evaluate(symbols) for symbols, _ in expressions] == [label for _, label in expressions]
