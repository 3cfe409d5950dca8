"""Do 95 % intervals of analysis.fits hold the truth 95 % of the time, and how long does a fit take?

    python benchmarks/fits.py                                     # every scenario, table on stdout
    python benchmarks/fits.py --only power-floor --studies 100    # scenarios whose name contains the text
    python benchmarks/fits.py --write benchmarks/fits.md
    python benchmarks/fits.py --state fits.jsonl --seconds 300    # a part of it; the same call again continues

A study is a ladder drawn from a known law: seeds scatter on the form's scale, errors are counted on a finite test set.
Coverage counts all studies, refused ones too, unless the column says otherwise: leaving out what was refused would
choose the lucky ones.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from fit_studies import (
    BROKEN_LAW,
    CEILING_LAW,
    FLOOR_LAW,
    FORM_SCENARIOS,
    JOINT_LAW,
    LOGISTIC_LAW,
    OTHER_SCENARIOS,
    POWER_LAW,
    Settings,
    Study,
    grid,
    sizes,
)

from analysis.fits import fit
from analysis.fits_bootstrap import bootstrap

SCENARIOS = FORM_SCENARIOS | OTHER_SCENARIOS
_PORTION = 10
TIMING = "seconds"
"""What to give --only for the table of seconds alone."""


def simulate(name: str, study: Study, settings: Settings, numbers: Sequence[int], until: float) -> list[dict]:
    """One row per study and quantity: scenario, study, quantity, is_inside, is_refused, width; until the time is up."""
    rows = []
    for i in numbers:
        if time.monotonic() > until:
            break
        bounds, refused = study(np.random.default_rng([2026, i]), settings)
        for quantity, (truth, low, high) in bounds.items():
            assert low is not None
            assert high is not None
            inside, width = bool(low <= truth <= high), float(high - low)
            rows.append({"scenario": name, "study": i, "quantity": quantity, "is_inside": inside,
                         "is_refused": bool(refused), "width": width})  # fmt: skip
        if not bounds:
            rows.append({"scenario": name, "study": i, "quantity": None, "is_inside": None, "is_refused": True,
                         "width": None})  # fmt: skip
    return rows


def continued(state: Path | None, only: str, counts: dict[str, int], settings: Settings, seconds: float) -> list[dict]:
    """All studies of the scenarios, those of earlier calls read from the state, the new ones added to it."""
    kept = [json.loads(line) for line in state.read_text().splitlines()] if state and state.exists() else []
    until = time.monotonic() + seconds
    for name, num in counts.items():
        have = {row["study"] for row in kept if row["scenario"] == name}
        if only not in name or len(have) >= num:
            continue
        # In small portions, so that a call that is ended loses little.
        for first in range(0, num, _PORTION):
            numbers = [i for i in range(first, min(first + _PORTION, num)) if i not in have]
            rows = simulate(name, SCENARIOS[name], settings, numbers, until)
            kept += rows
            if state and rows:
                with state.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
        print(f"{name}: {len({row['study'] for row in kept if row['scenario'] == name})} of {num}", flush=True)
    return kept


def coverage(rows: list[dict], counts: dict[str, int]) -> list[str]:
    """Coverage by scenario and quantity: of all studies that give an interval, and of those that are not refused."""
    lines = ["| scenario | studies | quantity | coverage | of accepted | refused | median width |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    frame = pd.DataFrame(rows)
    for name in counts:
        own = frame[frame["scenario"] == name]
        num = own["study"].nunique()
        for quantity, found in own.dropna(subset=["quantity"]).groupby("quantity", sort=False):
            inside = found["is_inside"].astype(bool)
            accepted = inside[~found["is_refused"].astype(bool)]
            refused = own.drop_duplicates("study")["is_refused"].astype(bool).mean()
            shares = " | ".join(f"{share:.1%}" for share in (inside.mean(), accepted.mean(), refused))
            lines.append(f"| {name} | {num} | {quantity} | {shares} | {found['width'].astype(float).median():.3g} |")
    return lines


def timing() -> list[str]:
    """Seconds of 1,000 samples from 8 starts for one ladder, by form."""
    lines = ["| form | runs | seconds for 1,000 samples x 8 starts |", "|---|---|---|"]
    cases = [(law, sizes(6)) for law in (POWER_LAW, FLOOR_LAW, LOGISTIC_LAW, CEILING_LAW)]
    for law, x in [*cases, (BROKEN_LAW, np.logspace(2, 6, 12)[:, None]), (JOINT_LAW, grid(6, 5))]:
        found = fit(law.draw(x, 5, np.random.default_rng(0)), law.form)
        start = time.perf_counter()
        draws = bootstrap(found, num_samples=1000, num_starts=8)
        seconds = time.perf_counter() - start
        lines.append(f"| {law.form.name} | {len(draws.fit.target)} | {seconds:.1f} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Coverage of intervals and seconds per fit")
    parser.add_argument("--only", default="", help="text in the names of the scenarios to run")
    parser.add_argument("--studies", type=int, default=500, help="of each form")
    parser.add_argument("--others", type=int, default=200, help="of each scenario that is not one of the forms")
    parser.add_argument("--samples", type=int, default=400, help="bootstrap samples in each study")
    parser.add_argument("--starts", type=int, default=2, help="starting points of each refit")
    parser.add_argument("--state", type=Path, help="file that keeps the studies, so that calls continue each other")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop simulating after so long")
    parser.add_argument("--write", type=Path, help="Markdown file for the tables")
    given = parser.parse_args()
    settings = Settings(num_samples=given.samples, num_starts=given.starts)
    counts = {name: given.studies if name in FORM_SCENARIOS else given.others for name in SCENARIOS}
    command = f"python benchmarks/fits.py {shlex.join(sys.argv[1:])}".strip()
    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    rows = continued(given.state, given.only, counts, settings, given.seconds)
    lines = [
        *("# Fits", "", f"`{command}`", ""),
        f"{date}; {platform.machine()}; {versions}. {given.samples} bootstrap samples from {given.starts} starts in "
        "each study; 95 % intervals.",
        *("", *coverage(rows, counts)),
    ]
    print("\n".join(lines))
    if given.only in TIMING:
        lines += ["", *timing()]
        print("\n".join(lines[-8:]))
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
