"""What searching in packs costs and saves: regret against plain Optuna, wall time, steps, kills.

    python benchmarks/search.py                              # every measurement, tables on stdout
    python benchmarks/search.py --only widths packed
    python benchmarks/search.py --write benchmarks/search.md

`regret` goes through Ray Tune, `kills` starts and kills real searches; the others run in this process. Minutes on two
quiet cores: regret 3, widths 4, packed 2, halving 4, kills 5.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import search_objective
import torch
from search_objective import (
    BEST,
    Synthetic,
    drive,
    found_by,
    frozen_random,
    learned,
    plain_regret,
    quality,
    synthetic_plans,
)

from study.ledger import Ledger
from study.measurements import Evaluated
from study.origin import Origin
from study.search_evaluation import _engine
from study.search_readings import readings
from study.search_request import Request, plans
from study.search_rungs import Rungs
from study.search_server import SearchServer
from study.search_space import own_values
from study.search_targets import searched_runs
from study.search_training import SearchTraining
from study.storage import open_storage

NUM_STUDIES, NUM_SAMPLES, NUM_PROPOSALS = 20, 48, 27
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Journals that no disk has to confirm."""


def regret() -> list[str]:
    """Through Ray and packs against plain Optuna, with the same number of proposals."""
    import ray
    from ray import cloudpickle

    from study import trials
    from study.cluster import connected
    from study.progress import Board
    from study.search_trainable import SearchJob, SearchTrial, start_server

    cloudpickle.register_pickle_by_value(search_objective)  # workers cannot import it

    class Trial(SearchTrial):
        make_engine = Synthetic

    made = synthetic_plans(NUM_STUDIES, NUM_SAMPLES)
    plain = [plain_regret(plan, seed) for seed, plan in enumerate(made)]
    with tempfile.TemporaryDirectory(dir=MEMORY) as out, connected(None):
        Ledger(out).prepare()
        server = start_server(out, made, 8, {plan.name: 8 for plan in made})
        board = Board("proposals", work=[1.0, 1.0], total=NUM_STUDIES * NUM_SAMPLES)
        trials.fit(Trial, SearchJob(out, None, range(2), server), max_failures=0, board=board)
        ray.kill(server)
        local = SearchServer(out, made, 8, {})
        ours = [found_by(local, plan) for plan in made]
        tried = [trial for plan in made for trial in local._studies[plan.name].trials]
    spent = sum(readings(trial)[-1].num_steps for trial in tried) / (len(tried) * made[0].target.base.num_steps)
    head = f"Regret over {NUM_STUDIES} searches of {NUM_SAMPLES} proposals (the best possible accuracy is 1)"
    rows = [
        ["plain Optuna, one after the other, none stopped", *_spread(plain), "100 %"],
        ["Ray Tune, 2 workers, 8 asked at once in packs, stopped early", *_spread(ours), f"{spent:.0%}"],
    ]
    return _table(head, ["search", "median regret", "quartiles", "steps"], rows)


def widths() -> list[str]:
    """What asking for several proposals at once costs, without Ray."""
    rows = []
    for width in (1, 2, 4, 8, 12):
        found = []
        for plan in synthetic_plans(NUM_STUDIES, NUM_SAMPLES):
            with tempfile.TemporaryDirectory(dir=MEMORY) as out:
                Ledger(out).prepare()
                server = SearchServer(out, [plan], width, {plan.name: width})
                drive(server, Synthetic, out)
                found.append(found_by(server, plan))
        rows.append([width, *_spread(found)])
    head = f"Regret by the number of proposals asked for at once; {NUM_STUDIES} searches of {NUM_SAMPLES}, one worker"
    return _table(head, ["asked at once", "median regret", "quartiles"], rows)


def packed() -> list[str]:
    """Eight runs of nano Bit XOR, four proposals with two seeds, as one pack and one by one; nothing is stopped."""
    torch.set_num_threads(1)
    run = dataclasses.replace(frozen_random("bit-xor"), num_steps=150)
    values = [{**own_values(run), "lr": lr} for lr in (1e-3, 2e-3, 4e-3, 8e-3)]
    runs = [each for one in values for each in searched_runs(run, one, 2)]
    seconds: dict[str, list[float]] = {"packed": [], "one by one": []}
    for _ in range(3):
        seconds["packed"].append(_seconds([runs]))
        seconds["one by one"].append(_seconds([[each] for each in runs]))
    packed, alone = (min(times) for times in seconds.values())
    head = "Evaluating eight runs of nano Bit XOR for 150 steps on one thread (best of three, interleaved)"
    return _table(
        head, ["packed", "one by one", "ratio"], [[f"{packed:.1f} s", f"{alone:.1f} s", f"{packed / alone:.0%}"]]
    )


def _seconds(packs) -> float:
    started = time.perf_counter()
    for pack in packs:
        engine = _training(pack)
        for _ in engine.rounds():
            if engine.step == pack[0].num_steps:
                engine.drop({run.run_id for run in pack})
    return time.perf_counter() - started


def _training(pack) -> SearchTraining:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return _engine(pack, Origin(None, torch.device("cpu")), open_storage(folder), SearchTraining)


def halving() -> list[str]:
    """Random proposals, all trained to the end: which would have been stopped, and would the winner?"""
    torch.set_num_threads(1)
    run = frozen_random("bit-xor")
    rng = random.Random(0)
    rates = [10 ** rng.uniform(-4, -1) for _ in range(NUM_PROPOSALS)]
    (plan,) = plans(Request("bit-xor", None, NUM_PROPOSALS), [run])
    rows = [_synthetic_row(plan.rung_steps)]
    curves = [_curve(run, lr, plan.rung_steps) for lr in rates]
    winner, chosen, saved = _halved(curves, plan.rung_steps)
    told = [f"{rates[number]:.2g} ({_path(curves[number])})" for number in (winner, chosen)]
    rows.append(["frozen random nano on Bit XOR, learning rates 1e-4 to 0.1", _num_bad(curves), f"{saved:.0%}", *told])
    head = f"Stopping early: {NUM_PROPOSALS} random proposals, four at a time"
    columns = [
        "search",
        "in the lower half of what was reached",
        "steps saved",
        "best of all",
        "best when stopped early",
    ]
    return _table(head, columns, rows)


def _synthetic_row(steps: tuple[int, ...]) -> list[str]:
    """Learning rates from 1e-6 to 1, of which most are bad; everybody learns at the same pace."""
    same, shares, bad = 0, [], []
    for seed in range(NUM_STUDIES):
        rng = random.Random(seed)
        reached = [quality(BEST | {"lr": 10 ** rng.uniform(-6, 0), "schedule": "cosine", "batch_size": 8})
                   for _ in range(NUM_PROPOSALS)]  # fmt: skip
        curves = [{step: best * learned(step / steps[-1]) for step in steps} for best in reached]
        winner, chosen, saved = _halved(curves, steps)
        same, shares, bad = same + (winner == chosen), [*shares, saved], [*bad, _num_bad(curves)]
    words = f"synthetic, learning rates 1e-6 to 1, {NUM_STUDIES} searches"
    found = [f"{statistics.median(bad):g}", f"{statistics.median(shares):.0%}"]
    return [words, *found, "", f"the same in {same} of {NUM_STUDIES}"]


def _halved(curves: list[dict[int, float]], rung_steps: tuple[int, ...]) -> tuple[int, int, float]:
    """The best at the last step, the best of those that were not stopped, and the share of steps that was saved."""
    rungs, steps, last = Rungs(rung_steps), 0, rung_steps[-1]
    ended = set()
    for start in range(0, len(curves), 4):
        alive, reached = set(range(start, min(len(curves), start + 4))), 0
        for step in rung_steps:
            steps += len(alive) * (step - reached)
            ended |= alive if step == last else set()
            alive, reached = rungs.enter(step, {number: curves[number][step] for number in alive}), step
    winner = max(range(len(curves)), key=lambda number: curves[number][last])
    chosen = max(ended, key=lambda number: curves[number][last])
    return winner, chosen, 1 - steps / len(curves) / last


def _num_bad(curves: list[dict[int, float]]) -> int:
    ends = [curve[max(curve)] for curve in curves]
    return sum(reached < (min(ends) + max(ends)) / 2 for reached in ends)


def _path(curve: dict[int, float]) -> str:
    return ", ".join(f"{curve[step]:.0%} at {step}" for step in sorted(curve))


def _curve(run, lr: float, rungs) -> dict[int, float]:
    """Mean over seeds of the best accuracy so far, at each rung."""
    pack = searched_runs(run, {**own_values(run), "lr": lr}, 2)
    engine = _training(pack)
    best, curve = dict.fromkeys((each.run_id for each in pack), 0.0), {}
    for measurements in engine.rounds():
        for each in measurements:
            if isinstance(each, Evaluated) and each.split == "valid":
                best[each.run_id] = max(best[each.run_id], each.accuracy)
        if engine.step in rungs:
            curve[engine.step] = statistics.fmean(best.values())
        if engine.step == rungs[-1]:
            engine.drop(set(best))
    return curve


def kills() -> list[str]:
    """A real search, killed at random moments until it is through."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "study", "search", "bit-xor", "--variant", "frozen-random", "--samples", "12"]
        command += ["--num-steps", "60", "--out", f"{folder}/out"]
        num_kills = 0
        while True:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                code = process.wait(rng.uniform(12, 30) if num_kills < 5 else None)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                num_kills += 1
                time.sleep(8)  # orphaned workers see that their driver is gone
                continue
            break
        (journal,) = Path(folder).glob("out/search/*/journal.log")
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        made = sum(line["op_code"] == 4 for line in lines)  # CREATE_TRIAL
        told = Counter(line["trial_id"] for line in lines if line["op_code"] == 6 and line["state"] in (1, 2, 3))
    twice = sum(count > 1 for count in told.values())
    head = "A search of 12 proposals, killed with SIGKILL"
    rows = [[num_kills, code, made, len(told), twice]]
    return _table(head, ["kills", "exit code of the last", "proposals made", "proposals told", "told twice"], rows)


MEASUREMENTS = {each.__name__: each for each in (regret, widths, packed, halving, kills)}


def _spread(values: list[float]) -> list[str]:
    low, median, high = statistics.quantiles(values, n=4)
    return [f"{median:.4f}", f"{low:.4f} to {high:.4f}"]


def _table(head: str, columns: list[str], rows: list[list]) -> list[str]:
    lines = [f"## {head}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    stamp = (
        f"{datetime.date.today()}; {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    lines = ["# Search", "", f"`python {' '.join(sys.argv)}`", "", f"{stamp}.", ""]
    for name in args.only:
        lines += MEASUREMENTS[name]()
        print("\n".join(lines[-6:]), flush=True)
    if args.write:
        args.write.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
