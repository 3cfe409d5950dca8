import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.load import load
from study.errors import UserError
from study.ledger import Ledger


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_counts_and_missing(study_ledger):
    frames = load(study_ledger)
    assert frames.counts == {"done": 103, "diverged": 1, "failed": 1, "missing": 3}
    cells = set(frames.missing[["task", "train_set", "init", "seed"]].itertuples(index=False, name=None))
    assert cells == {("listops", "output-only", "bit-memory", seed) for seed in range(3)}
    assert frames.settings == [""]


def test_nothing_is_missing_that_nobody_asked_for(tmp_path, synthetic):
    rows = [
        synthetic.run(accuracy=0.9, init=init, train_set=name)
        for init, name in (("language", "fpt"), ("random", "full"))
    ]
    assert load(synthetic.write(tmp_path / "out", rows)).counts["missing"] == 0


def test_a_manifest_that_cannot_be_read_is_told(tmp_path, synthetic):
    out = synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)])
    manifest = next((Path(out) / "manifest").iterdir())
    document = json.loads(manifest.read_text())
    (Path(out) / "manifest" / "torn.json").write_text(manifest.read_text()[:100])
    document["runs"][0] |= {"engine_version": 99, "run_id": "another"}
    (Path(out) / "manifest" / "newer.json").write_text(json.dumps(document))
    newer, torn = load(out).problems
    assert "newer.json" in newer and "engine_version" in newer
    assert "torn.json" in torn and "cannot be read" in torn
    for path in (Path(out) / "manifest").iterdir():
        path.unlink()
    assert load(out).problems == ("no manifest: which runs were asked for, and so which are missing, is not known",)


def test_every_curve_belongs_to_a_run(study_ledger):
    frames = load(study_ledger)
    assert set(frames.curves["run_id"]) <= set(frames.runs["run_id"])


def test_no_ledger_there(tmp_path):
    with pytest.raises(UserError) as error:
        load(str(tmp_path / "nowhere"))
    assert "no ledger" in one_line(error)


def test_empty_ledger(tmp_path):
    Ledger(str(tmp_path / "out")).prepare()
    with pytest.raises(UserError) as error:
        load(str(tmp_path / "out"))
    assert "no readable run" in one_line(error)


def test_newer_schema(tmp_path, synthetic):
    out = synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)])
    marker = Path(out) / "ledger.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"schema_version": 99}))
    with pytest.raises(UserError) as error:
        load(out)
    assert "version" in one_line(error)


def test_part_with_a_missing_column_is_a_marked_gap(tmp_path, synthetic):
    out = synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)])
    part = next((Path(out) / "runs").iterdir())
    pq.write_table(pq.read_table(part).drop_columns(["lr"]), Path(out) / "runs" / "other.parquet")
    frames = load(out)
    assert len(frames.runs) == 1
    assert len(frames.problems) == 1
    assert "other.parquet" in frames.problems[0] and "lr" in frames.problems[0]


def test_ledger_of_unreadable_parts_only(tmp_path, synthetic):
    out = synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)])
    part = next((Path(out) / "runs").iterdir())
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(UserError) as error:
        load(out)
    assert "not a whole part" in one_line(error)


def test_what_varies_inside_a_cell_names_the_setting(tmp_path, synthetic):
    rows = [synthetic.run(accuracy=0.9, lr=lr, seed=seed) for lr in (1e-3, 1e-2) for seed in (0, 1)]
    frames = load(synthetic.write(tmp_path / "out", rows))
    assert frames.settings == ["lr 0.001", "lr 0.01"]
    assert frames.runs["setting"].tolist() == [f"lr {lr:g}" for lr in frames.runs["lr"]]
    assert frames.counts["missing"] == 0


def test_what_follows_from_the_cell_names_no_setting(tmp_path, synthetic):
    rows = [synthetic.run(accuracy=0.9, lr=lr, train_set=name) for name, lr in (("fpt", 1e-3), ("full", 1e-4))]
    assert load(synthetic.write(tmp_path / "out", rows)).settings == [""]


def test_learning_rates_tuned_for_each_layer_count_do_not_split_further(tmp_path, synthetic):
    tuned = {("language", 2): 1e-3, ("language", 4): 1e-2, ("random", 2): 3e-3, ("random", 4): 3e-2}
    rows = [synthetic.run(accuracy=0.9, init=init, num_layers=n, lr=lr) for (init, n), lr in tuned.items()]
    assert load(synthetic.write(tmp_path / "out", rows)).settings == ["num_layers 2", "num_layers 4"]


def test_importing_loads_neither_ray_nor_torch():
    code = "import sys, analysis.load, analysis.report; print([m for m in ('ray', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
