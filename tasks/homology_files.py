"""TAPE's remote homology files: CSV (seq, label), JSON or LMDB (primary, fold_label), or the hub.

An LMDB file holds pickles, and unpickling may run any code its author likes. Here only containers, text and numbers
are built, numpy's arrays become empty shells, and a record that names anything else is refused.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks import hub
from tasks.files import DamagedData, MissingData, read_bytes

# One protein: amino acids in one-letter code, and the label of its fold.
Protein = tuple[str, int]

REPOSITORY = "Hauser7733/TAPE_Remote_Homology"
_FIELDS = (("seq", "label"), ("primary", "fold_label"))
_TAPE_NAMES = {"train": "train", "valid": "valid", "test": "test_fold_holdout"}
_HUB_SPLITS = {"train": "train", "valid": "validation", "test": "test_fold_holdout"}


def read_split(folder: Path, split: str) -> tuple[str, list[Protein]]:
    """TAPE's "train", "valid" or "test" (= fold holdout) split, and the place it was found in.

    Raises:
        MissingData: in none of the formats, and not on the hub; or LMDB without the package `lmdb`.
        DamagedData: a record has no sequence or no whole number as label.
    """
    tape_name = f"remote_homology_{_TAPE_NAMES[split]}"
    readers: dict[str, Callable[[Path], Iterable[Mapping[str, Any]]]] = {
        f"{split}.csv": _csv_records,
        f"{tape_name}.json": _json_records,
        f"{tape_name}.lmdb": _lmdb_records,
    }
    for name, reader in readers.items():
        if (folder / name).exists():
            return str(folder / name), _proteins(folder / name, reader(folder / name))
    rows: Any = hub.load_split(REPOSITORY, "default", _HUB_SPLITS[split], sought=", ".join(readers), folder=folder)
    return REPOSITORY, _proteins(REPOSITORY, rows)


def _proteins(source: object, records: Iterable[Mapping[str, Any]]) -> list[Protein]:
    proteins = []
    for number, record in enumerate(records):
        for sequence_field, label_field in _FIELDS:
            sequence, label = record.get(sequence_field), str(record.get(label_field))
            if isinstance(sequence, str) and sequence and label.isdecimal():
                proteins.append((sequence, int(label)))
                break
        else:
            fields = " or ".join(" and ".join(pair) for pair in _FIELDS)
            raise DamagedData(f"{source}: record {number} lacks a sequence or a whole number as label ({fields})")
    return proteins


def _csv_records(path: Path) -> Iterable[Mapping[str, Any]]:
    return csv.DictReader(io.StringIO(_text(path)))


def _json_records(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        records = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise DamagedData(f"{path}: truncated or damaged JSON ({error}); fetch it again") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DamagedData(f"{path}: expected a JSON list of objects")
    return records


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedData(f"{path}: not a text file ({error}); fetch it again") from error


def _lmdb_records(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        import lmdb
    except ImportError as error:
        raise MissingData(f"{path} needs the package `lmdb`; pip install 'fpt-study[hub]'") from error
    try:
        with (
            lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False) as database,
            database.begin() as view,
        ):
            num_records = _unpickled(path, view.get(b"num_examples"))
            return [_unpickled(path, view.get(str(index).encode())) for index in range(num_records)]
    except lmdb.Error as error:
        raise DamagedData(f"{path}: damaged LMDB file ({error}); fetch it again") from error


class _Shell:
    """Stands for an array of numpy's: takes whatever the pickle gives it and keeps nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _whole_number(kind: object, content: bytes) -> int:
    """A number of numpy's; labels are whole, and what is not becomes a label out of range."""
    del kind
    return int.from_bytes(content, "little", signed=True)


class _PlainUnpickler(pickle.Unpickler):
    """Builds what pickle builds without importing anything; numpy's types become shells, all else is refused."""

    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., object]:
        if module_name.split(".")[0] == "numpy":
            return _whole_number if global_name == "scalar" else _Shell
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")


def _unpickled(path: Path, content: bytes | None) -> Any:
    if content is None:
        raise DamagedData(f"{path}: a record that num_examples counts is absent; fetch it again")
    try:
        return _PlainUnpickler(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DamagedData(f"{path}: a record is not plain data ({error})") from error
