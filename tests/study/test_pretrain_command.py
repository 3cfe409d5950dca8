"""`study pretrain`: every objective by its name, once; mistakes and interruptions in one line."""

import contextlib
import json
import time
from pathlib import Path
from typing import ClassVar

import pytest

from study import launch_bodies
from study.__main__ import main
from study.inits import PRETRAINED
from study.running import Driver, drivers
from study.storage import open_storage

FEW_BITS = ["pretrain", "bit-memory", "--size", "nano", "--num-steps", "1"]


@pytest.mark.parametrize("init", PRETRAINED)
def test_every_objective_makes_a_body_once(init: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["pretrain", init, "--size", "nano", "--num-steps", "1", "--seed", "3", "--out", str(out)]
    assert main(command) == 0
    first, figures, note = capsys.readouterr().out.splitlines()
    assert first.startswith(f"made: {init} body of gpt2 nano, seed 3, in {out}/bodies/")
    assert figures.startswith("held-out ") and "without context" in figures and "after 1 steps" in figures
    assert note.startswith("a trial: runs of a grid take the body of the recipe's own")
    assert main([*command, "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    (folder,) = (out / "bodies").iterdir()
    assert folder.name == card["key"] and card["init"] == init and card["seed"] == 3
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.safetensors"]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("already there: ")


def test_data_that_are_missing_or_too_few_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    command = ["pretrain", "language:text", "--size", "nano", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and str(tmp_path / "data") in line
    assert not (tmp_path / "out").exists()
    (tmp_path / "data" / "text").mkdir(parents=True)
    (tmp_path / "data" / "text" / "mine.txt").write_text("short")
    assert main(command) == 2
    assert "the language:text body of gpt2 nano, seed 0 could not be made" in capsys.readouterr().err


class Impatient:
    """Somebody who presses Ctrl-C after a few updates."""

    def __init__(self) -> None:
        self._num_looks = 0

    def caught(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @property
    def has_come(self) -> bool:
        self._num_looks += 1
        return self._num_looks > 2


def test_an_interrupted_command_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.body_execution.LEAST_SECONDS", 0.0)
    command = [*FEW_BITS, "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(launch_bodies, "Interruption", Impatient)
        assert main(command) == 130
    told = capsys.readouterr().err
    assert f"to continue: study {' '.join(command)}" in told
    assert list((tmp_path / "out" / "checkpoints").iterdir()) and not (tmp_path / "out" / "bodies").exists()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_resumed"] == 1


def test_it_tells_of_itself_while_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = str(tmp_path / "out")

    class Curious(Impatient):
        """Somebody who looks from elsewhere, and stops the work as soon as something is told."""

        heard: ClassVar[list[Driver]] = []

        @property
        def has_come(self) -> bool:
            until = time.monotonic() + 20
            while not self.heard and time.monotonic() < until:
                self.heard.extend(drivers(open_storage(out)))
            return True

    with monkeypatch.context() as patch:
        patch.setattr(launch_bodies, "Interruption", Curious)
        assert main([*FEW_BITS, "--out", out]) == 130
    (driver,) = Curious.heard
    assert driver.is_alive and (driver.state["counted"], driver.state["total"]) == ("bodies", 1)
    assert drivers(open_storage(out)) == []
