import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.launch import run_grid
from study.launch_bodies import run_pretraining
from study.ledger import Ledger
from study.spec import RunSpec
from tasks.files import DamagedData


def grid(num_seeds: int = 1, **changes) -> list[RunSpec]:
    values = {
        "task": "bit-xor",
        "task_args": {"num_valid_examples": 16, "num_test_examples": 16},
        "size": "nano",
        "num_layers": 1,
        "init": "random",
        "num_steps": 2,
        "eval_every_steps": 2,
    }
    return [RunSpec(**{**values, **changes}, seed=seed) for seed in range(num_seeds)]


@pytest.mark.ray
def test_a_grid_ends_with_a_row_for_every_run(ray_runtime, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "no-data"))
    out = str(tmp_path / "out")
    missing = grid(task="mnist", task_args={}, num_layers=1)
    specs = [*grid(3), *grid(1, train_set="full"), *missing]
    summary = run_grid(specs, out=out, grid_name="mine", command="study run mine")
    assert (summary.done, summary.failed, summary.missing, summary.packs) == (4, 1, 0, 3)
    rows = {row["run_id"]: row for row in Ledger(out).runs().to_pylist()}
    assert set(rows) == {spec.run_id for spec in specs}
    assert rows[missing[0].run_id]["status"] == "failed"
    assert "train-images-idx3-ubyte" in rows[missing[0].run_id]["error"]
    (manifest,) = (tmp_path / "out" / "manifest").iterdir()
    document = json.loads(manifest.read_text())
    assert document["grid"] == "mine" and len(document["runs"]) == 5
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "5 of 5 runs" in captured.err and "Traceback" not in captured.err

    again = run_grid(specs, out=out)
    assert (again.done, again.failed, again.packs) == (4, 1, 0)


_AGAIN = """
import sys
from study.launch import run_grid
from study.spec import RunSpec
specs = [RunSpec.from_json(line) for line in open(sys.argv[1])]
print(run_grid(specs, out=sys.argv[2]).done, "ray" in sys.modules, "torch" in sys.modules)
"""


def test_a_full_ledger_costs_neither_ray_nor_torch(tmp_path):
    out = str(tmp_path / "out")
    specs = grid(2)
    ledger = Ledger(out)
    ledger.prepare()
    from study.execution import failed_row

    ledger.append([failed_row(spec, "x") | {"status": "done", "error": None} for spec in specs], [], "pack")
    (tmp_path / "specs").write_text("\n".join(spec.to_json() for spec in specs))
    started = time.monotonic()
    command = [sys.executable, "-c", _AGAIN, str(tmp_path / "specs"), out]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert finished.stdout.split() == ["2", "False", "False"]
    assert time.monotonic() - started < 20


def test_damaged_data_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        (folder / name).write_bytes(b"\0\0")
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    with pytest.raises(DamagedData):
        run_grid(grid(task="mnist", task_args={}), out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
def test_missing_bodies_are_made_first_and_used(ray_runtime, tmp_path, monkeypatch):
    from study import recipes

    # One step, and few held-out examples: short windows, or as many as asked for.
    language, bits = recipes._NANO["language"], recipes._NANO["bit-memory"]
    short = {
        "language": dataclasses.replace(language, num_steps=1, num_tokens=8),
        "bit-memory": dataclasses.replace(bits, num_steps=1, task_args=(*bits.task_args, ("num_valid_examples", 16))),
    }
    monkeypatch.setattr(recipes, "_NANO", short)
    out = tmp_path / "out"
    specs = [grid(init=init)[0] for init in ("language", "bit-memory", "shuffled")]
    summary = run_grid(specs, out=str(out))
    assert summary.done == 3
    rows = {row["init"]: row for row in Ledger(str(out)).runs().to_pylist()}
    cards = {path.name: json.loads((path / "card.json").read_text()) for path in (out / "bodies").iterdir()}
    assert set(cards) == {row["body_key"] for row in rows.values()} and len(cards) == 3
    control = cards[rows["shuffled"]["body_key"]]
    assert control["kind"] == "derived" and control["source_key"] == rows["language"]["body_key"]
    made = {path.parent.name for path in out.glob("bodies/*/model.safetensors")}
    assert made == {rows["language"]["body_key"], rows["bit-memory"]["body_key"]}


@pytest.mark.ray
def test_pretraining_by_name_makes_a_body_once(ray_runtime, tmp_path):
    out = str(tmp_path / "out")
    made = run_pretraining("bit-memory", body="gpt2", size="nano", num_steps=2, out=out, address="auto")
    card = made.card
    assert made.is_new
    assert card["num_steps"] == 2 and Path(out, "bodies", card["key"], "model.safetensors").is_file()
    started = time.monotonic()
    again = run_pretraining("bit-memory", body="gpt2", size="nano", num_steps=2, out=out)
    assert again.card == card and not again.is_new
    assert time.monotonic() - started < 1
