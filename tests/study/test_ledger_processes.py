"""Two drivers on one --out without any lock: whole processes that append the same packs and compact as they like."""

import subprocess
import sys
from pathlib import Path

from study.ledger import Ledger

DRIVER = """
import importlib.util, random, sys, warnings
from study import ledger_compaction
from study.ledger import Ledger
spec = importlib.util.spec_from_file_location("made", sys.argv[2])
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
ledger_compaction.LARGE_ROWS = {"runs": 6, "curves": 10, "attention": 10}
warnings.simplefilter("error")
me = int(sys.argv[3])
ledger = Ledger(sys.argv[1])
packs = list(range(8))
random.Random(me).shuffle(packs)
print("ready", flush=True)
sys.stdin.readline()
for number, pack in enumerate(packs):
    runs = [pack * 3 + each for each in range(4)]  # neighbours share a run
    status = "failed" if pack % 3 == me else "done"
    rows = [made.row(run, status, minute=me, test_accuracy=me / 2) for run in runs]
    ledger.append(rows, [made.curve(run, step, loss=me / 2) for run in runs for step in range(2)], "p")
    if number % 3 == 2:
        ledger.compact()
    finished = ledger.finished()
    assert all(made.run_id(run) in finished for run in runs)
"""


def test_two_drivers_leave_each_run_once_with_its_own_curves(made, ledger: Ledger) -> None:
    command = [sys.executable, "-c", DRIVER, ledger.uri, str(Path(__file__).with_name("made.py"))]
    drivers = [
        subprocess.Popen([*command, str(me)], stdin=-1, stdout=-1, stderr=subprocess.PIPE, text=True) for me in range(2)
    ]
    for driver in drivers:
        assert driver.stdout is not None and driver.stdout.readline() == "ready\n"
    for driver in drivers:
        assert driver.stdin is not None
        driver.stdin.write("\n")
        driver.stdin.flush()
    for driver in drivers:
        _, errors = driver.communicate()
        assert driver.returncode == 0, errors
    for _ in range(2):
        rows, curves = ledger.runs().to_pylist(), ledger.curves().to_pylist()
        assert [row["run_id"] for row in rows] == sorted(made.run_id(seed) for seed in range(25))
        own = {row["run_id"]: (row["attempt"], row["test_accuracy"]) for row in rows}
        assert len(curves) == 2 * len(rows)
        assert all((curve["attempt"], curve["loss"]) == own[curve["run_id"]] for curve in curves)
        assert {row["status"] for row in rows} == {"done"}
        ledger.compact()
    assert not list(Path(ledger.uri).rglob(".tmp-*"))
