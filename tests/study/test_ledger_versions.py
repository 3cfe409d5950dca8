"""Parts that other versions of the software and other programs read or wrote."""

import pandas as pd
import pyarrow as pa
import pytest

from study import ledger_parts
from study.errors import LedgerWarning
from study.ledger import Ledger
from study.ledger_parts import Damaged, parse, to_bytes
from study.ledger_schema import MIGRATIONS, RUNS, TABLES


def test_parts_are_ordinary_parquet_for_others(made, ledger: Ledger) -> None:
    for seed in range(2):
        ledger.append([made.row(seed)], [], "p")
    assert sorted(pd.read_parquet(f"{ledger.uri}/runs").run_id) == ledger.runs()["run_id"].to_pylist()


def test_parts_of_a_newer_version_are_told_and_never_touched(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([made.row(0)], [], "p")
    with monkeypatch.context() as newer:
        newer.setattr(ledger_parts, "COLUMNS_VERSION", 2)
        ledger.storage.commit("runs/newer.parquet", to_bytes(RUNS.empty_table()))
    for read in (ledger.compact, Ledger(ledger.uri).runs, Ledger(ledger.uri).finished):
        with pytest.warns(LedgerWarning, match="newer.parquet left out: .*another version.*update it"):
            read()
    assert "newer.parquet" in ledger.storage.names("runs") and ledger.storage.names("quarantine/runs") == []


def test_parts_of_an_older_version_are_migrated(made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append([made.row(0, test_accuracy=0.5)], [], "p")
    data = ledger.storage.read(f"runs/{ledger.storage.names('runs')[0]}")
    added = pa.field("num_retries", pa.int32(), metadata={"description": "how often it was tried before"})
    monkeypatch.setattr(ledger_parts, "COLUMNS_VERSION", 3)
    monkeypatch.setitem(TABLES, "runs", RUNS.insert(5, added))
    migration = {2: lambda table: table.append_column(added, pa.nulls(table.num_rows, added.type))}
    monkeypatch.setitem(MIGRATIONS, "runs", migration)  # from version 1 to 2 only the other table changed
    for part in (parse("p", data, "runs"), parse("p", to_bytes(parse("p", data, "runs")), "runs")):
        assert isinstance(part, pa.Table) and part.schema.equals(TABLES["runs"], check_metadata=True)
        assert part.select(["schema_version", "num_retries", "test_accuracy"]).to_pylist() == [
            {"schema_version": 3, "num_retries": None, "test_accuracy": 0.5}
        ]
    assert parse("p", data, "runs", ["test_accuracy"]).to_pydict() == {"test_accuracy": [0.5]}
    monkeypatch.setitem(MIGRATIONS, "runs", {})
    assert parse("p", data, "runs") == Damaged("p", "not the ledger's columns; they differ in num_retries")
