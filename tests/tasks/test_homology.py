"""Remote homology on tiny files in every format: encoding, the two protocols, damage, and hostile pickles."""

import csv
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.catalogue import make_task
from tasks.files import DamagedData, MissingData
from tasks.homology import Homology

CPU = torch.device("cpu")
LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"


TINY = {"train": 12, "valid": 4, "test": 3}


class TinyHomology(Homology):
    tape_sizes = TINY


def proteins(split):
    """Sequences of 1, 2, 3, ... residues; label 7 is the most common in train."""
    size = TINY[split]
    return [(LETTERS[-1 - i :], 7 if i % 2 else 100 + i) for i in range(size)]


def write_csv(folder, split, rows=None):
    folder.mkdir(exist_ok=True)
    with (folder / f"{split}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("seq", "label"), *(rows or proteins(split))])


def records(split):
    return [
        {"primary": sequence, "protein_length": len(sequence), "fold_label": label, "id": str(i)}
        for i, (sequence, label) in enumerate(proteins(split))
    ]


def write_json(folder, split):
    folder.mkdir(exist_ok=True)
    (folder / f"remote_homology_{tape_name(split)}.json").write_text(json.dumps(records(split)))


def write_lmdb(folder, split, entries=None):
    lmdb = pytest.importorskip("lmdb")
    folder.mkdir(exist_ok=True)
    entries = entries or [
        record | {"fold_label": np.int64(record["fold_label"]), "evolutionary": np.zeros((3, 30), np.float32)}
        for record in records(split)
    ]
    path = str(folder / f"remote_homology_{tape_name(split)}.lmdb")
    with lmdb.open(path, map_size=2**20) as database, database.begin(write=True) as view:
        view.put(b"num_examples", pickle.dumps(len(entries)))
        for i, entry in enumerate(entries):
            view.put(str(i).encode(), pickle.dumps(entry))


def tape_name(split):
    return "test_fold_holdout" if split == "test" else split


@pytest.fixture
def folder(data_folder):
    return data_folder / "remote_homology"


@pytest.fixture(params=[write_csv, write_json, write_lmdb])
def written(request, folder):
    for split in TINY:
        request.param(folder, split)


def test_fixed_encodes_as_tape_and_cuts(written):
    task = TinyHomology(max_tokens=4)
    batch = task.split("test", CPU)
    # Z, YZ, XYZ between <cls> = 2 and <sep> = 3; the third loses its last residue.
    assert batch.inputs.tolist() == [[2, 29, 3, 0], [2, 28, 29, 3], [2, 27, 28, 3]]
    assert batch.lengths.tolist() == [3, 4, 4]
    assert batch.targets.tolist() == [[100], [7], [102]]
    assert (task.layout.num_symbols, task.layout.num_classes) == (30, 1195)
    assert task.layout.reads_last_real
    assert task.layout.masks_padding
    assert task.floor_accuracy == pytest.approx(1 / 3)


def test_paper_drops_long_proteins_and_tests_on_validation(written):
    task = TinyHomology(protocol="paper", max_tokens=5)
    batch = task.split("test", CPU)
    assert batch.inputs.tolist() == [[2, 29, 3, 0, 0], [2, 28, 29, 3, 0], [2, 27, 28, 29, 3]]
    assert batch.lengths is None
    assert not task.layout.reads_last_real
    assert task.layout.num_classes == 1200
    assert task.accuracy_scale == 0.9739
    assert task.floor_accuracy == pytest.approx(0.9739 / 3)
    assert task.chance_accuracy == pytest.approx(0.9739 / 1200)


def test_paper_holds_its_valid_split_out_of_train(written):
    task = TinyHomology(protocol="paper", max_tokens=30)
    lengths = {name: (task.split(name, CPU).inputs > 0).sum(dim=1).tolist() for name in ("train", "valid")}
    assert (len(lengths["train"]), len(lengths["valid"])) == (8, 4)
    assert sorted(lengths["train"] + lengths["valid"]) == list(range(3, 15))
    assert [task.num_examples(name) for name in ("train", "valid", "test")] == [8, 4, 4]


def test_every_letter_of_the_vocabulary_has_its_own_id(folder):
    for split in TINY:
        write_csv(folder, split, [(LETTERS, 0)] * TINY[split])
    ids = TinyHomology(max_tokens=27).split("test", CPU).inputs[0].tolist()
    assert ids == [2, *range(5, 30), 3]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("ACD", 1), ("ACD", 2)], "found 2 proteins, expected 3"),
        ([("ACD", 1), ("ACD", 1195), ("ACD", 2)], "label 1195 in record 1, expected 0 to 1194"),
        ([("ACD", 1), ("AJD", 2), ("ACD", 2)], "'J' is no amino acid"),
        ([("ACD", 1), ("Acd", 2), ("ACD", 2)], "'c' is no amino acid"),
        ([("ACD", 1), ("ACD", -1), ("ACD", 2)], "record 1 lacks a sequence or a whole number"),
        ([("ACD", 1), ("ACD", 2), ("ACD",)], "record 2 lacks a sequence or a whole number"),
        ([("ACD", 1), ("", 2), ("ACD", 2)], "record 1 lacks a sequence"),
    ],
)
def test_damaged_csv_is_refused(folder, rows, message):
    for split in ("train", "valid"):
        write_csv(folder, split)
    write_csv(folder, "test", rows)
    with pytest.raises(DamagedData, match=f"test.csv: {message}") as refusal:
        TinyHomology().check()
    assert "\n" not in str(refusal.value)


def test_truncated_json_is_refused(folder):
    write_json(folder, "train")
    path = folder / "remote_homology_train.json"
    path.write_text(path.read_text()[:-10])
    with pytest.raises(DamagedData, match=r"remote_homology_train.json: truncated or damaged JSON"):
        TinyHomology().check()


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


@pytest.mark.parametrize("entry", [Bomb(), {"primary": "ACD", "fold_label": 1, "id": Bomb()}])
def test_a_pickle_that_names_code_is_refused_and_not_run(folder, entry, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write_lmdb(folder, "train", [entry] * 12)
    with pytest.raises(DamagedData, match=r"a record is not plain data \(it names (posix|nt)\.system\)"):
        TinyHomology().check()
    assert not Path("exploded").exists()


def test_a_damaged_lmdb_file_is_refused(folder):
    write_lmdb(folder, "train")
    (folder / "remote_homology_train.lmdb" / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedData, match=r"remote_homology_train.lmdb: damaged LMDB file"):
        TinyHomology().check()


def test_a_cap_that_leaves_no_protein_is_refused(written):
    with pytest.raises(ValueError, match=r"max_tokens = 2 is too small; give 3 or more"):
        TinyHomology(max_tokens=2)


def test_missing_files_are_named_with_where_and_what_to_do(data_folder):
    with pytest.raises(MissingData, match=r"no train.csv, remote_homology_train.json, .*no network") as refusal:
        make_task("homology", protocol="fixed", args={}).check()
    assert "hf download --repo-type dataset" in str(refusal.value)


@pytest.mark.data
def test_real_splits_are_read_under_both_protocols():
    folder = Path(os.environ.get("STUDY_DATA", "/nonexistent")) / "remote_homology"
    if not all((folder / f"{split}.csv").exists() for split in ("train", "valid", "test")):
        pytest.skip("remote_homology/{train,valid,test}.csv are not in STUDY_DATA")
    fixed = make_task("homology", protocol="fixed", args={})
    assert fixed.split("test", CPU).inputs.shape == (718, 1024)
    paper = make_task("homology", protocol="paper", args={})
    # Two of the 736 validation proteins are longer than 1022 residues.
    assert paper.split("test", CPU).inputs.shape == (734, 1024)
