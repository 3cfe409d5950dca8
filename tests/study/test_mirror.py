"""Copying runs to a tracker while a grid is trained: once each, whatever happens. TensorBoard's files are read back."""

import datetime as dt
import struct
from pathlib import Path
from typing import Any

import pytest

from study import mirror
from study.errors import UserError
from study.ledger import Ledger
from study.mirror import Mirror, Target, mirrored, parse_target
from study.spec import RunSpec

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def runs(number: int, **changes: Any) -> list[RunSpec]:
    common = {"task": "digits", "size": "nano", "init": "random", "num_steps": 4, "eval_every_steps": 2} | changes
    return [RunSpec(**common, seed=seed) for seed in range(number)]


def append(ledger: Ledger, spec: RunSpec, status: str = "done") -> None:
    row = {
        **spec.as_columns(), "run_id": spec.run_id, "status": status, "ended_at": NOW, "started_at": NOW,
        "num_steps_done": 4, "test_accuracy": 0.75, "error": "no room" if status == "failed" else None,
    }  # fmt: skip
    curve = [
        {"run_id": spec.run_id, "step": step, "split": split, "num_examples": 8, "loss": 1 / step, "lr": 0.001,
         "accuracy": 0.5, "examples_per_second": 9.0, "wall_seconds": float(step)}
        for step in (2, 4) for split in ("valid", "train")
    ]  # fmt: skip
    ledger.append([row], curve, "pack")


def mirror_of(ledger: Ledger, specs: list[RunSpec], kind: str, place: str) -> Mirror:
    return Mirror(Target(kind, place), ledger.uri, {spec.run_id for spec in specs})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tensorbord:out", "did you mean tensorboard"),
        ("tensorboard", "tensorboard:FOLDER"),
        ("wandb:", "wandb:PROJECT"),
        ("tensorboard:s3://bucket/logs", "local folder"),
        ("mlflow:sqlite:///x.db", "pip install mlflow"),
        ("wandb:me/project", "pip install wandb"),
    ],
)
def test_mistakes_are_refused_before_any_work(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=words):
        parse_target(text)


def test_a_target_is_its_kind_and_the_rest() -> None:
    assert parse_target("tensorboard:a:b") == Target("tensorboard", "a:b")


# What TensorBoard reads: records of a length, its checksum, a protocol buffer and its checksum.
def events(folder: Path) -> list[Any]:
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("events.*")
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def test_tensorboard_has_one_folder_per_run_with_its_curves_and_results(ledger: Ledger, tmp_path: Path) -> None:
    specs = runs(3)
    append(ledger, specs[0])
    append(ledger, specs[1], status="failed")
    logs = tmp_path / "logs"
    assert mirror_of(ledger, specs, "tensorboard", str(logs)).sync() == 1
    (folder,) = logs.iterdir()
    assert folder.name.endswith(specs[0].run_id) and folder.name.startswith("digits_gpt2_random")
    values = {
        (value.tag, event.step): (value.simple_value, event.wall_time)
        for event in events(folder)
        for value in event.summary.value
    }
    assert values["valid/loss", 2] == (0.5, NOW.timestamp() + 2)
    assert values["train/accuracy", 4][0] == 0.5 and values["lr", 4][0] == pytest.approx(0.001)
    assert values["result/test_accuracy", 4][0] == 0.75


def test_repeating_the_command_copies_only_what_is_new(ledger: Ledger, tmp_path: Path) -> None:
    specs = runs(2)
    append(ledger, specs[0])
    logs = tmp_path / "logs"
    first = mirror_of(ledger, specs, "tensorboard", str(logs))
    assert (first.sync(), first.sync()) == (1, 0)
    append(ledger, specs[1])
    # A folder that was cut short bears a temporary name, and is no run.
    (logs / ".tmp-1").mkdir()
    assert mirror_of(ledger, specs, "tensorboard", str(logs)).sync() == 1
    assert len([path for path in logs.iterdir() if not path.name.startswith(".")]) == 2


def test_only_the_runs_of_the_grid_are_copied(ledger: Ledger, tmp_path: Path) -> None:
    specs = runs(2)
    for spec in specs:
        append(ledger, spec)
    assert mirror_of(ledger, specs[:1], "tensorboard", str(tmp_path / "logs")).sync() == 1


def test_names_are_safe_as_folders() -> None:
    (spec,) = runs(1, size=None, init="checkpoint:org/name@main")
    name = mirror.name_of({**spec.as_columns(), "run_id": spec.run_id})
    assert "/" not in name and name.endswith(f"_seed0_{spec.run_id}")


def test_runs_are_copied_while_they_end(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_EVERY_SECONDS", 0.01)
    specs = runs(2)
    logs = tmp_path / "logs"
    with mirrored(Target("tensorboard", str(logs)), ledger.uri, specs):
        append(ledger, specs[0])
        wait = dt.datetime.now() + dt.timedelta(seconds=20)
        while not logs.is_dir() or len(list(logs.glob("digits*"))) < 1:
            assert dt.datetime.now() < wait
        append(ledger, specs[1])
    assert len(list(logs.glob("digits*"))) == 2


def test_no_target_does_nothing(tmp_path: Path) -> None:
    with mirrored(None, str(tmp_path / "nowhere"), runs(1)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_fails_is_told_once_and_tried_again(ledger: Ledger, tmp_path: Path) -> None:
    specs = runs(1)
    append(ledger, specs[0])
    logs = tmp_path / "logs"
    logs.write_text("a file")
    copier = mirror_of(ledger, specs, "tensorboard", str(logs))
    with pytest.warns(UserWarning, match="training goes on: .*is a file"):
        assert copier.sync() == 0
    assert copier.sync() == 0  # a second warning would be an error here
    logs.unlink()
    assert copier.sync() == 1
