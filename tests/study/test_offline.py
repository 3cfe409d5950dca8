"""Without network: the runs of a hub checkpoint that is not in the cache fail in one line, all others are trained."""

import json
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from transformers import GPT2Config, GPT2Model

from models import hub
from study.__main__ import main
from study.ledger import Ledger
from study.preflight import unreachable
from study.spec import RunSpec

GRID = """
from study.spec import RunSpec

def mixed():
    common = {"task": "bit-xor", "task_args": {"num_valid_examples": 16, "num_test_examples": 16}, "num_layers": 1,
              "num_steps": 2, "eval_every_steps": 1}
    here = [RunSpec(init="random", size="nano", seed=seed, **common) for seed in range(2)]
    return here + [RunSpec(init=init, size=size, **common) for init, size in NAMED]
"""
ABSENT = "checkpoint:someone/absent@v2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "_silent_since", {})
    return cache


def grid_of(tmp_path: Path, *named: tuple[str, str | None]) -> str:
    file = tmp_path / "grids.py"
    file.write_text(f"NAMED = {list(named)!r}\n{GRID}")
    return f"{file}:mixed"


def checkpoint(folder: Path) -> None:
    GPT2Model(GPT2Config(n_layer=1, n_embd=8, n_head=2, n_positions=16, vocab_size=5)).save_pretrained(folder)


@pytest.mark.ray
def test_all_other_runs_are_trained(ray_runtime, offline: Path, tmp_path: Path, capfd, monkeypatch) -> None:
    """A checkpoint of the user's, known in the driver, and GPT-2 itself, which only its workers look for."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    grid, out = grid_of(tmp_path, (ABSENT, None), ("language", "base")), str(tmp_path / "out")
    assert main(["run", grid, "--out", out, "--json"]) == 1
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (document["done"], document["failed"], document["missing"]) == (2, 2, 0)
    rows = {row["init"]: row for row in Ledger(out).runs().to_pylist() if row["status"] == "failed"}
    assert set(rows) == {ABSENT, "language"}
    for init, repository in ((ABSENT, "someone/absent --revision v2"), ("language", "openai-community/gpt2")):
        assert f"with network run: hf download {repository}" in rows[init]["error"]
        assert "\n" not in rows[init]["error"]
    assert str(offline) in rows[ABSENT]["error"]


def test_nothing_else_to_train_needs_no_workers(offline: Path, tmp_path: Path, capfd, monkeypatch) -> None:
    from study import launch

    monkeypatch.setattr(launch, "connected", None)
    grid, out = grid_of(tmp_path, (ABSENT, None)), str(tmp_path / "out")
    started = time.monotonic()
    assert main(["run", grid, "--out", out, "--where", f"init={ABSENT}"]) == 1
    assert time.monotonic() - started < 5
    (row,) = Ledger(out).runs().to_pylist()
    assert row["status"] == "failed" and "someone/absent@v2 is not in" in row["error"]


def test_a_plan_prices_the_rest(offline: Path, tmp_path: Path, capsys) -> None:
    grid = grid_of(tmp_path, (ABSENT, None))
    assert main(["plan", grid, "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (document["runs"], document["missing"]) == (3, 3)
    assert sum(kind["runs"] for kind in document["kinds"]) == 2 and document["train_flops"] > 0
    ((init, runs, reason),) = [tuple(each.values()) for each in document["unreachable"]]
    assert (init, runs) == (ABSENT, 1) and str(offline) in reason and "hf download someone/absent" in reason
    assert main(["plan", grid]) == 0
    assert "not priced: 1 runs, someone/absent@v2 is not in" in capsys.readouterr().out


def test_what_is_cached_is_reachable_as_far_as_it_goes(offline: Path) -> None:
    repository = offline / "models--someone--tiny"
    checkpoint(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    spec = RunSpec(task="bit-xor", size=None, init="checkpoint:someone/tiny", num_steps=1, eval_every_steps=1)
    assert unreachable([spec], with_weights=True) == {}
    (repository / "snapshots" / COMMIT / "model.safetensors").unlink()
    assert unreachable([spec], with_weights=False) == {}
    assert list(unreachable([spec], with_weights=True)) == ["checkpoint:someone/tiny"]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_checkpoint_that_is_wrong_is_refused_before_work(command: str, offline: Path, tmp_path: Path, capsys) -> None:
    """Beside one that is only out of reach."""
    checkpoint(tmp_path / "body")
    config = tmp_path / "body" / "config.json"
    config.write_text(config.read_text().replace('"gpt2"', '"mamba"'))
    grid = grid_of(tmp_path, (ABSENT, None), (f"checkpoint:{tmp_path / 'body'}", None))
    capsys.readouterr()
    assert main([command, grid, *(["--out", str(tmp_path / "out")] if command == "run" else [])]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "of type 'mamba'; known types" in captured.err
    assert not (tmp_path / "out").exists()
