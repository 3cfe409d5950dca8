"""`study report` on ledgers that are empty, newer, torn or written twice: one clear line, or a gap that is marked."""

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis import images
from study.__main__ import main
from study.ledger import Ledger


@pytest.fixture
def refused(capsys, tmp_path):
    """The one line that `study report` answers with, without making a page."""

    def make(out) -> str:
        assert main(["report", "--out", str(out), "--to", str(tmp_path / "page")]) == 2
        assert not (tmp_path / "page").exists()
        captured = capsys.readouterr()
        (line,) = captured.err.strip().splitlines()
        assert captured.out == ""
        return line

    return make


def part_of(out, name="runs"):
    (path,) = (Path(out) / name).iterdir()
    return path


def test_nothing_there(refused, tmp_path):
    assert "there is no ledger" in refused(tmp_path / "nowhere")


def test_empty_ledger(refused, tmp_path):
    Ledger(str(tmp_path / "out")).prepare()
    assert "no readable run" in refused(tmp_path / "out")


def test_newer_ledger(refused, tmp_path, synthetic):
    out = synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)])
    marker = Path(out) / "ledger.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"schema_version": 99}))
    assert "ledger.json" in (line := refused(out)) and "version" in line


def test_every_part_lacks_a_column(refused, tmp_path, synthetic):
    out = synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)])
    part = part_of(out)
    pq.write_table(pq.read_table(part).drop_columns(["test_accuracy"]), part)
    assert "test_accuracy" in (line := refused(out)) and part.name in line


def test_gaps_are_marked_and_a_run_in_two_parts_counts_once(tmp_path, synthetic, monkeypatch):
    monkeypatch.setattr(images, "write", lambda jobs: "not part of this test")
    first, second, third = (synthetic.run(accuracy=0.8, seed=seed) for seed in range(3))
    out = synthetic.write(tmp_path / "out", [first, second], missing=[third])
    whole = pq.read_table(part_of(out))
    pq.write_table(whole.drop_columns(["lr"]), Path(out) / "runs" / "lacking.parquet")
    (Path(out) / "runs" / "torn.parquet").write_bytes(part_of(out, "manifest").read_bytes()[:100])
    # A later execution of the first run, in a part with another run: the earlier result counts.
    later = {**first, "test_accuracy": 0.1, "ended_at": first["ended_at"] + timedelta(days=1)}
    Ledger(out).append([later, synthetic.run(accuracy=0.8, seed=3)], [], "again")
    assert main(["report", "--out", out, "--to", str(tmp_path / "page")]) == 0
    html = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    for name in ("runs/lacking.parquet", "runs/torn.parquet"):
        assert f"Left out of this report: {name}" in html
    (cell,) = pd.read_csv(tmp_path / "page" / "figures" / "accuracy.csv").to_dict("records")
    assert (cell["num_done"], cell["num_missing"], cell["mean"]) == (3, 1, pytest.approx(0.8))
