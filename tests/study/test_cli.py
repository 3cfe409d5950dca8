"""The command line: what a user types, what comes back, and that a mistake costs one line and no work."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.__main__ import main
from study.ledger import Ledger

TINY = """
from study.spec import RunSpec

def tiny():
    common = {"size": "nano", "init": "random", "num_layers": 1, "num_steps": 2, "eval_every_steps": 1}
    return [RunSpec(task="bit-xor", seed=seed, **common) for seed in range(2)]
"""


@pytest.fixture
def grid(tmp_path: Path) -> str:
    file = tmp_path / "grids.py"
    file.write_text(TINY)
    return f"{file}:tiny"


@pytest.fixture
def no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals must come before any work."""
    import study.launch

    def launched(*args, **kwargs) -> None:
        raise AssertionError("work was started")

    monkeypatch.setattr(study.launch, "connected", launched)


def document_of(captured: str) -> dict:
    return json.loads(captured.strip().splitlines()[-1])


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refusal writes to stderr."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("study: ")
    return captured.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["rnu", "smoke"], "unknown command 'rnu'; did you mean run"),
        ([], "required: COMMAND"),
        (["list", "grid"], "invalid choice: 'grid'"),
        (["run", "quickstart"], "required: --out"),
        (["run", "quickstat", "--out", "OUT"], "unknown grid 'quickstat'; did you mean quickstart"),
        (["plan", "quickstat"], "did you mean quickstart"),
        (["status", "quickstat", "--out", "OUT"], "did you mean quickstart"),
        (["run", "quickstart", "--out", "OUT", "--where", "task=bit-xr"], "did you mean bit-xor"),
        (["run", "quickstart", "--out", "OUT", "--where", "tsk=bit-xor"], "did you mean task"),
        (["run", "quickstart", "--out", "OUT", "--where", "body=gpt"], "did you mean gpt2"),
        (["run", "quickstart", "--out", "OUT", "--seeds", "-1"], "--seeds must be at least 1, not -1"),
        (["run", "quickstart", "--out", "OUT", "--seeds", "two"], "invalid int value: 'two'"),
        (["run", "quickstart", "--out", "OUT", "--retry"], "unrecognized arguments: --retry"),
        (["run", "quickstart", "--out", "OUT", "--log-to", "tensorbord:logs"], "did you mean tensorboard"),
        (["plan", "quickstart", "--seeds", "-3"], "at least 1, not -3"),
        (["run", "nowhere.py:grid", "--out", "OUT"], "no grid file 'nowhere.py'"),
        (["status", "quickstart", "--out", "OUT"], "there is no ledger at"),
        (["report", "--out", "OUT", "--to", "TO"], "there is no ledger at"),
        (["pretrain", "langage", "--size", "nano", "--out", "OUT"], "did you mean language"),
        (["pretrain", "language", "--size", "nan", "--out", "OUT"], "did you mean nano"),
        (["pretrain", "language", "--size", "nano", "--body", "lstm", "--out", "OUT"], "lstm is never pretrained"),
        (["pretrain", "shuffled", "--size", "nano", "--out", "OUT"], "unknown init that is pretrained"),
        (["pretrain", "language", "--size", "base", "--out", "OUT"], "published weights openai-community/gpt2"),
        (["pretrain", "dyck", "--size", "nano", "--num-steps", "0", "--out", "OUT"], "at least 1"),
        (["pretrain", "dyck", "--size", "nano", "--seed", "-1", "--out", "OUT"], "seed"),
        (["plan", "quickstart", "--out", "nonsense://place"], "cannot open"),
    ],
)
def test_mistakes(
    argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_launch: None
) -> None:
    places = {"OUT": str(tmp_path / "out"), "TO": str(tmp_path / "to")}
    assert words in refused([places.get(word, word) for word in argv], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("bit-xor", "bit-xr"), "did you mean bit-xor"),
        (("range(2)", 'open("/nowhere/seeds")'), "FileNotFoundError"),
        (("range(2)", "exit(3)"), "SystemExit: 3"),
        (("return", "retrun"), "SyntaxError"),
        (('"num_steps": 2', '"num_steps": 2, "lr": -1'), "lr must be finite and above 0, not -1"),
        (("range(2)", "(-1, 0)"), "seed must be from 0"),
        (('"num_steps": 2', '"num_steps": 2, "body": "gtp2"'), "did you mean gpt2"),
        (('"num_steps": 2', '"num_steps": 2, "task_args": {"num_bit": 5}'), "num_bits"),
        (('"num_steps": 2', '"num_steps": 2, "task_args": {"num_bits": 5000}'), "10000 tokens"),
        (('"num_layers": 1', '"num_layers": 9'), "num_layers is 9"),
        (('"nano", "init": "random"', 'None, "init": "checkpoint:/nowhere/at-all"'), "/nowhere/at-all"),
    ],
)
def test_mistakes_in_ones_own_grid(
    change: tuple[str, str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_launch: None
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(TINY.replace(*change))
    assert words in refused(["run", f"{file}:tiny", "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def test_damaged_data_are_refused(
    tmp_path: Path, grid: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_launch: None
) -> None:
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{part}-ubyte").write_bytes(b"short")
    line = refused(["run", "smoke", "--where", "task=mnist", "--out", str(tmp_path / "out")], capsys)
    assert str(folder) in line and not (tmp_path / "out").exists()


def test_damaged_checkpoints_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], no_launch: None) -> None:
    from models.bodies import architecture

    folder = tmp_path / "body"
    folder.mkdir()
    (folder / "config.json").write_text(architecture("gpt2", size="nano").config.to_json_string())
    (folder / "model.safetensors").write_bytes(b"\x10\x00")
    file = tmp_path / "mine.py"
    file.write_text(TINY.replace('"nano", "init": "random"', f'None, "init": "checkpoint:{folder}"'))
    line = refused(["run", f"{file}:tiny", "--out", str(tmp_path / "out")], capsys)
    assert "model.safetensors" in line and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["run", "status", "plan", "report"])
def test_foreign_folders_are_refused_and_left_alone(
    command: str, grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_launch: None
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    rest = ["--out", str(tmp_path / "out")]
    argv = [command, *rest, "--to", str(tmp_path / "to")] if command == "report" else [command, grid, *rest]
    assert "thesis.tex" in refused(argv, capsys)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"] and not (tmp_path / "to").exists()


def test_an_unwritable_place_is_refused(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_launch: None
) -> None:
    (tmp_path / "file").write_text("x")
    assert "Not a directory" in refused(["run", grid, "--out", str(tmp_path / "file" / "out")], capsys)
    assert "is a file" in refused(["run", grid, "--out", str(tmp_path / "file")], capsys)
    assert (tmp_path / "file").read_text() == "x"


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    lists = document_of(capsys.readouterr().out)
    assert set(lists) == {"grids", "tasks", "models", "inits", "train-sets", "claims"}
    assert all(line.strip() and "\n" not in line for names in lists.values() for line in names.values())
    assert main(["list", "inits"]) == 0
    shown = capsys.readouterr().out
    assert "random-scaled" in shown and "bit-xor" not in shown


def test_plan_writes_nothing(grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["plan", grid, "--out", str(out), "--seeds", "1", "--json"]) == 0
    plan = document_of(capsys.readouterr().out)
    assert (plan["runs"], plan["missing"], plan["done"]) == (1, 1, 0) and not out.exists()
    assert main(["plan", grid]) == 0
    shown = capsys.readouterr().out
    assert "2 runs" in shown and "on one gpu" in shown and "\x1b" not in shown


def test_interruption_tells_how_to_go_on(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import study.launch

    def interrupted(*args, **kwargs) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study.launch, "run_grid", interrupted)
    argv = ["run", grid, "--out", str(tmp_path / "my out")]
    assert main(argv) == 130
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"study run {grid} --out '{tmp_path}/my out'" in err


@pytest.mark.parametrize("phase", ["preflight.unreachable", "launch.manifest", "cluster._await_worker"])
def test_sigterm_is_as_good_as_ctrl_c_at_any_time(
    phase: str, grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler sends no Ctrl-C. The lock must be given back, or whoever continues elsewhere waits for it."""
    import ray

    from study import cluster, launch

    def handles_signals_itself(**given) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *args: sys.exit(15))

    def asked_to_end(*args, **kwargs) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)

    monkeypatch.setattr(ray, "init", handles_signals_itself)
    monkeypatch.setattr(ray, "shutdown", handles_signals_itself)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(launch, "require_head", lambda address: None)
    monkeypatch.setattr(cluster, "ENVIRONMENT", {})
    monkeypatch.setattr(f"study.{phase}", asked_to_end)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    out = tmp_path / "out"
    assert main(["run", grid, "--out", str(out), "--address", "10.0.0.1:1"]) == 130
    assert "to continue: study run" in capsys.readouterr().err
    assert not list(out.glob("leases/*"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_address_where_nobody_answers_is_refused_at_once(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", "localhost:99999"):
        assert "nobody answers at" in refused(["run", grid, "--out", str(tmp_path / "o"), "--address", address], capsys)
    assert "--address auto" in refused(["run", grid, "--out", str(tmp_path / "o"), "--address", "ray://a:1"], capsys)
    assert not (tmp_path / "o").exists()


def test_our_own_mistakes_are_not_hidden(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import study.launch

    def broken(*args, **kwargs) -> None:
        raise AssertionError("ours")

    monkeypatch.setattr(study.launch, "run_grid", broken)
    with pytest.raises(AssertionError, match="ours"):
        main(["run", grid, "--out", str(tmp_path / "out")])


def test_a_finished_grid_starts_nothing(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_launch: None
) -> None:
    from study.execution import failed_row
    from study.grids import load_grid

    ledger = Ledger(str(tmp_path / "out"))
    ledger.prepare()
    first, second = load_grid(grid)
    ledger.append([{**failed_row(first, "x"), "status": "done", "error": None}], [], "p")
    ledger.append([failed_row(second, "no room")], [], "q")
    # A failure that is recorded is not tried again by itself, and it is told by the exit code.
    assert main(["run", grid, "--out", ledger.uri, "--json"]) == 1
    status = document_of(capsys.readouterr().out)
    assert (status["done"], status["failed"], status["all_done"]) == (1, 1, False)
    assert main(["run", grid, "--out", ledger.uri, "--where", "seed=0"]) == 0
    assert main(["status", grid, "--out", ledger.uri]) == 0
    assert "no room" in capsys.readouterr().out


def test_a_damaged_part_is_one_line_on_stderr(grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(str(tmp_path / "out"))
    ledger.prepare()
    ledger.storage.commit("runs/torn.parquet", b"PAR1")
    assert main(["status", grid, "--out", ledger.uri, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "runs/torn.parquet" in captured.err
    assert document_of(captured.out)["missing"] == 2


def test_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "study", "--help"], capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in ("list", "plan", "run", "status", "report", "pretrain", "doctor"))


def test_a_mistake_in_a_real_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "study", "run", "smok", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "40"}, check=False)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert "did you mean smoke" in done.stderr and not (tmp_path / "out").exists()
