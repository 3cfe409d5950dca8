"""Attention in the ledger: it comes out as it went in, belongs to the row that counts, and may be absent altogether."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from study.ledger import Ledger, read_attention
from study.ledger_schema import ATTENTION


def test_attention_comes_back_as_written(made, ledger: Ledger) -> None:
    written = [
        made.attention(seed, query, state) for seed in (1, 0) for query in (3, 2) for state in ("untrained", "selected")
    ]
    ledger.append([made.row(0), made.row(1)], [], "pack", written)
    read = read_attention(ledger.uri)
    assert read.schema.equals(ATTENTION, check_metadata=True)
    rows = read.drop_columns("attempt").to_pylist()
    assert sorted(rows, key=str) == sorted(written, key=str)
    order = [(row["run_id"], row["state"], row["query"]) for row in rows]
    assert order == sorted(order)
    ledger.compact()
    assert ledger.attention().equals(read)


def test_pandas_reads_the_folder_of_attention_directly(made, ledger: Ledger) -> None:
    ledger.append([made.row(0)], [], "pack", [made.attention(0, weight=0.75)])
    (weights,) = pd.read_parquet(f"{ledger.uri}/attention")["weights"]
    assert weights.tolist() == [0.75, 0.0, 0.25, 0.0]


def test_a_ledger_of_before_has_none(made, ledger: Ledger, tmp_path: Path) -> None:
    ledger.append([made.row(0)], [made.curve(0)], "pack")
    assert not (Path(ledger.uri) / "attention").exists()
    assert ledger.attention().num_rows == 0 and ledger.attention().schema.equals(ATTENTION)
    ledger.compact()
    ledger.append([made.row(1)], [], "pack", [made.attention(1)])
    assert ledger.attention()["run_id"].to_pylist() == [made.run_id(1)]
    shutil.copytree(ledger.uri, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "attention")
    assert Ledger(str(tmp_path / "copy")).runs().num_rows == 2


def test_only_the_attention_of_the_row_that_counts_is_read(
    made, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = ledger.storage.commit

    def crash(path: str, data: bytes) -> bool:
        if path.startswith("runs/"):
            raise OSError("killed before the rows")
        return commit(path, data)

    with monkeypatch.context() as killed:
        killed.setattr(ledger.storage, "commit", crash)
        with pytest.raises(OSError):
            ledger.append([made.row(0)], [], "pack", [made.attention(0, weight=0.5)])
    assert ledger.attention().num_rows == 0
    ledger.append([made.row(0)], [], "pack", [made.attention(0, weight=0.25)])
    ledger.append([made.row(0)], [], "pack", [made.attention(0, weight=0.75)])  # too late
    for _ in range(2):
        assert [weights[0] for weights in ledger.attention()["weights"].to_pylist()] == [0.25]
        ledger.compact()


def test_attention_of_runs_that_did_not_end_is_our_own_mistake(made, ledger: Ledger) -> None:
    with pytest.raises(AssertionError, match="did not end"):
        ledger.append([made.row(0)], [], "pack", [made.attention(1)])
