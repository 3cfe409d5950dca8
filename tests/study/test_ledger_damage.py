"""Damaged, foreign and unreadable files among the parts: never a wrong number, never a traceback, always a report."""

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.errors import LedgerWarning, StorageError
from study.ledger import Ledger, read_attention, read_curves, read_runs
from study.ledger_parts import Damaged, parse
from study.ledger_schema import RUNS, TABLES
from study.storage_local import LocalStorage


@pytest.fixture(scope="module")
def sound(made, tmp_path_factory) -> Path:
    """A ledger of three parts in each table."""
    folder = tmp_path_factory.mktemp("sound") / "out"
    ledger = Ledger(str(folder))
    ledger.prepare()
    for seed in range(3):
        rows = [made.row(seed, test_accuracy=seed / 7), made.row(seed + 10, test_loss=seed / 3)]
        ledger.append(rows, [made.curve(seed, step) for step in range(3)], f"p{seed}", [made.attention(seed)])
    return folder


@pytest.fixture(scope="module")
def contents(sound: Path) -> tuple[list, list, list]:
    """Its rows, curves and attention."""
    return tuple(read(str(sound)).to_pylist() for read in (read_runs, read_curves, read_attention))


def change(path: Path, kind: str, place: int, count: int) -> None:
    """One kind of damage; place and count say where and how much of it."""
    data = bytearray(path.read_bytes())
    start = place % len(data)
    if kind == "flip":
        for bit in range(count):
            data[(start + bit * 37) % len(data)] ^= 1 << (place + bit) % 8
    elif kind == "cut":
        del data[start:]
    elif kind == "hole":
        data[start : start + count] = bytes(len(data[start : start + count]))
    elif kind == "lose":
        del data[start : start + count]
    elif kind == "add":
        data[start:start] = os.urandom(count)
    path.write_bytes(data)


def intrude(folder: Path, other: Path, kind: str, number: int) -> None:
    """Something that is no part of this table, under the name of one."""
    path = folder / f"{number:x}-{kind}.parquet"
    if kind == "empty":
        path.touch()
    elif kind == "foreign":
        pq.write_table(pa.table({"run_id": ["x"], "status": ["done"], "a\nb": [number]}), path)
    elif kind == "same columns":
        pq.write_table(pa.Table.from_arrays([pa.nulls(2, each.type) for each in RUNS], RUNS.names), path)
    elif kind == "other table":
        shutil.copy(next(other.iterdir()), path)
    elif kind == "folder":
        path.mkdir()
        (path / "keep").touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "nowhere":
        path.symlink_to("/nowhere/at/all")
    elif kind == "name":
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n.parquet")).write_bytes(b"PAR1")


def tables_of(ledger: Ledger) -> tuple[pa.Table, pa.Table, pa.Table, dict[str, str], list[str]]:
    """What the ledger says, and of which files it warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs, curves, attention, finished = ledger.runs(), ledger.curves(), ledger.attention(), ledger.finished()
    assert all(issubclass(each.category, LedgerWarning) for each in caught)
    messages = [str(each.message) for each in caught]
    assert all(message.isprintable() and message.encode() for message in messages)
    return runs, curves, attention, finished, [message.split(" left out: ")[0] for message in messages]


DAMAGE = st.tuples(st.sampled_from(["flip", "cut", "hole", "lose", "add"]), st.integers(0, 1 << 20), st.integers(1, 40))
INTRUDERS = ["empty", "foreign", "same columns", "other table", "folder", "pipe", "loop", "nowhere", "name"]


@settings(deadline=None, max_examples=40)
@given(
    damages=st.dictionaries(st.tuples(st.sampled_from(list(TABLES)), st.integers(0, 2)), DAMAGE, max_size=3),
    intruders=st.lists(st.tuples(st.sampled_from(list(TABLES)), st.sampled_from(INTRUDERS)), max_size=3),
)
def test_never_a_wrong_number_never_a_traceback_always_a_report(
    sound: Path, contents: tuple[list, list, list], damages: dict, intruders: list
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        shutil.copytree(sound, folder)
        hit, lost_runs = set(), set()
        for (table, number), damage in damages.items():
            path = sorted((folder / table).iterdir())[number]
            before = path.read_bytes()
            change(path, *damage)
            if path.read_bytes() != before:
                hit.add(f"{table}/{path.name}")
                if table == "runs":
                    lost_runs |= set(pq.read_table(pa.BufferReader(before))["run_id"].to_pylist())
        there = set(folder.rglob("*"))
        for number, (table, kind) in enumerate(intruders):
            other = folder / ("curves" if table == "runs" else "runs")
            intrude(folder / table, sound / other.name, kind, number)
        ledger = Ledger(str(folder))
        runs, curves, attention, finished, reported = tables_of(ledger)
        expected = [row for row in contents[0] if row["run_id"] not in lost_runs]
        assert runs.to_pylist() == expected
        assert finished == {row["run_id"]: row["status"] for row in expected}
        assert all(curve in contents[1] for curve in curves.to_pylist())
        assert all(each in contents[2] for each in attention.to_pylist())
        assert hit <= set(reported)
        num_new = len({path for path in folder.rglob("*") if path.parent.name in TABLES} - there)
        assert len(reported) == len(hit) + num_new == len(ledger.damaged())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert len(ledger.compact()) == len(caught) == len(reported)
        assert sum(len(ledger.storage.names(f"quarantine/{table}")) for table in TABLES) == len(reported)
        assert tables_of(Ledger(str(folder))) == (runs, curves, attention, finished, [])


def test_every_single_bit_of_a_part_is_under_the_seal(made, ledger: Ledger) -> None:
    ledger.append([made.row(0, test_accuracy=0.75)], [], "p")
    path = f"runs/{ledger.storage.names('runs')[0]}"
    data = ledger.storage.read(path)
    whole = parse(path, data, "runs")
    assert isinstance(whole, pa.Table)
    for place in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        part = parse(path, bytes(flipped), "runs")
        # A bit of the mark of the seal itself: then there is none, and the numbers are what they were.
        assert isinstance(part, Damaged) or (part.equals(whole) and data.rfind(b"fpt-study sha256 ") <= place)


def test_a_swapped_value_is_noticed_though_the_file_is_sound_parquet(made, ledger: Ledger, tmp_path: Path) -> None:
    ledger.append([made.row(0, test_accuracy=0.75)], [], "p")
    path = Path(ledger.uri) / "runs" / ledger.storage.names("runs")[0]
    file = pq.ParquetFile(path)
    place = file.schema_arrow.get_field_index("test_accuracy")
    better = file.read().set_column(place, file.schema_arrow.field(place), pa.array([0.99]))
    with pq.ParquetWriter(path, better.schema) as writer:
        writer.write_table(better)
        writer.add_key_value_metadata(file.metadata.metadata)
    with pytest.warns(LedgerWarning, match="not those that were written"):
        assert ledger.runs().num_rows == 0


def test_parts_without_a_seal_are_read_as_they_once_were_made(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        pq.write_table(table.replace_schema_metadata(None), path, compression="zstd", write_statistics=False)
    assert read_runs(str(tmp_path / "out")).equals(read_runs(str(sound)))
    assert read_curves(str(tmp_path / "out")).equals(read_curves(str(sound)))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_damage_to_parts_without_a_seal_ends_in_no_traceback(sound: Path, data: st.DataObject) -> None:
    path = next((sound / "runs").iterdir())
    sink = pa.BufferOutputStream()
    pq.write_table(pq.ParquetFile(path).read(), sink)
    bytes_ = bytearray(sink.getvalue().to_pybytes())
    for _ in range(data.draw(st.integers(1, 3))):
        bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
    part = parse("runs/x.parquet", bytes(bytes_), "runs")
    assert isinstance(part, Damaged) or part.to_pylist()


def test_a_file_that_may_not_be_read_stays_in_place(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append([made.row(0)], [], "p")
    name = ledger.storage.names("runs")[0]
    if os.geteuid() == 0:  # nothing is forbidden to root

        def forbidden(path: str, *args) -> int:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(os, "open", forbidden)
    else:
        (Path(ledger.uri) / "runs" / name).chmod(0)
    with pytest.warns(LedgerWarning, match=f"runs/{name} left out: cannot be read: Permission denied"):
        assert ledger.runs().num_rows == 0
    with pytest.warns(LedgerWarning, match="left out"):
        assert len(ledger.compact()) == 1
    monkeypatch.undo()
    (Path(ledger.uri) / "runs" / name).chmod(0o600)
    assert len(ledger.finished()) == 1


def test_an_error_of_the_disk_is_no_damage_of_a_part(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append([made.row(0)], [], "p")

    def broken(*args) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(StorageError, match=r"cannot read .*: Input/output error"):
        ledger.finished()


def test_quarantine_never_overwrites(ledger: Ledger) -> None:
    (Path(ledger.uri) / "runs").mkdir()
    for text in (b"one", b"two"):
        (Path(ledger.uri) / "runs" / "x.parquet").write_bytes(text)
        with pytest.warns(LedgerWarning, match="x.parquet set aside in quarantine/"):
            ledger.compact()
    kept = {path.read_bytes() for path in (Path(ledger.uri) / "quarantine" / "runs").iterdir()}
    assert kept == {b"one", b"two"}


def test_a_sound_part_that_took_the_place_of_a_torn_one_is_put_back(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([made.row(0)], [], "p")
    path = Path(ledger.uri) / "runs" / ledger.storage.names("runs")[0]
    whole, move = path.read_bytes(), ledger.storage.move

    def late(source: str, to: str) -> None:
        path.write_bytes(whole)
        move(source, to)

    path.write_bytes(whole[:100])
    monkeypatch.setattr(ledger.storage, "move", late)
    with pytest.warns(LedgerWarning, match="set aside"):
        ledger.compact()
    assert len(Ledger(ledger.uri).finished()) == 1


def test_a_torn_part_does_not_block_the_result_of_its_runs(made, ledger: Ledger) -> None:
    ledger.append([made.row(0)], [], "p")
    path = Path(ledger.uri) / "runs" / ledger.storage.names("runs")[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(LedgerWarning, match="left out"):
        assert ledger.finished() == {}
    ledger.append([made.row(0)], [made.curve(0)], "p")
    assert ledger.finished() == {made.run_id(0): "done"}


def test_quiet_where_nothing_is_damaged(sound: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_runs(str(sound)).num_rows == 6 and read_curves(str(sound)).num_rows == 9


@pytest.mark.parametrize("then", ["whole", "gone"])
def test_what_is_replaced_while_it_is_read_is_read_again(
    sound: Path, contents: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """As on an object store, where two workers may write the same part within the same moment."""
    folder = shutil.copytree(sound, tmp_path / "out")
    torn, whole = min((folder / "runs").iterdir()).name, LocalStorage.read
    waiting = {f"runs/{torn}"}

    def read(self: LocalStorage, path: str) -> bytes:
        data = whole(self, path)
        if path in waiting:
            waiting.remove(path)
            if then == "gone":
                (folder / path).unlink()
            return data[:-1]
        return data

    monkeypatch.setattr(LocalStorage, "read", read)
    found = Ledger(str(folder)).runs().to_pylist()
    assert not waiting
    lost = {row["run_id"] for row in pq.read_table(sound / "runs" / torn).to_pylist()} if then == "gone" else set()
    assert found == [row for row in contents[0] if row["run_id"] not in lost]
    assert Ledger(str(folder)).damaged() == []
