"""The doctor: every finding that is not well says how to mend it; nothing is downloaded; only essentials are fatal."""

import os
import sys
from pathlib import Path

import pytest

from study import doctor
from study.doctor import Check
from tasks import TASKS


def test_a_sound_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (doctor.python_version, doctor.disk))
    reply = doctor.answer()
    assert reply.exit_code == 0 and reply.document["ok"] is True
    assert reply.document["checks"][0]["name"] == "Python"


def test_only_what_is_essential_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    for state, code in (("missing", 0), ("damaged", 0), ("broken", 1)):
        monkeypatch.setattr(doctor, "CHECKS", (lambda state=state: iter([Check("x", state, "y", "z")]),))
        assert doctor.answer().exit_code == code


def test_a_library_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ESSENTIAL", ("numpy", "nothing_of_that_name"))
    good, bad = doctor.libraries()
    assert good.state == "ok" and bad.state == "broken" and "pip install" in bad.mend


def test_an_old_python_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    (check,) = doctor.python_version()
    assert check.state == "broken" and "3.11" in check.mend


def test_data_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    checks = {check.name.removeprefix("data of "): check for check in doctor.data()}
    assert set(checks) == set(TASKS) and "HF_HUB_OFFLINE" not in os.environ
    absent = {name for name, check in checks.items() if check.state == "missing"}
    assert absent == {"mnist", "cifar10", "cifar10-lra", "homology"}
    assert all(str(tmp_path) in checks[name].mend and "\n" not in checks[name].mend for name in absent)


def test_damaged_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (tmp_path / "mnist" / f"{part}-{kind}-ubyte").write_bytes(b"short")
    assert doctor.data_of("mnist").state == "damaged"


def test_the_hub_is_not_asked_when_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (check,) = doctor.hub()
    assert check.state == "missing" and "unset" in check.mend


def test_no_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    (check,) = doctor.browser()
    assert check.state == "missing" and check.mend
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "chrome"))
    (check,) = doctor.browser()
    assert check.state == "missing" and "by hand" in check.mend


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_FREE_BYTES", 1e30)
    assert all(check.state == "missing" and "TMPDIR" in check.mend for check in doctor.disk())
