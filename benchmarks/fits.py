"""Do 95 % intervals of analysis.fits hold the truth 95 % of the time, and how long does a fit take?

    python benchmarks/fits.py                                     # every scenario, table on stdout
    python benchmarks/fits.py --only power-floor --studies 100    # scenarios whose name contains the text
    python benchmarks/fits.py --write benchmarks/fits.md

A study is a ladder drawn from a known law: seeds scatter on the form's scale, errors are counted on a finite test set.
Coverage counts all studies, refused ones too, unless the column says otherwise: leaving out what was refused would
choose the lucky ones.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import sys
import time
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

TIMING = "seconds"
"""What to give --only for the table of seconds alone."""


def simulate(study: Study, settings: Settings, num_studies: int) -> pd.DataFrame:
    """Coverage by quantity: of all studies that give an interval, and of those that are not refused."""
    rows = []
    for i in range(num_studies):
        bounds, refused = study(np.random.default_rng([2026, i]), settings)
        for name, (truth, low, high) in bounds.items():
            assert low is not None
            assert high is not None
            rows.append(
                {"quantity": name, "is_inside": low <= truth <= high, "is_refused": refused, "width": high - low}
            )
    frame = pd.DataFrame(rows)
    grouped = frame.groupby("quantity", sort=False)
    kept = frame[~frame["is_refused"]].groupby("quantity", sort=False)["is_inside"].mean()
    return pd.DataFrame({
        "coverage": grouped["is_inside"].mean(), "of accepted": kept, "refused": grouped["is_refused"].mean(),
        "median width": grouped["width"].median(), "studies": grouped.size(),
    })  # fmt: skip


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
    parser.add_argument("--write", type=Path, help="Markdown file for the tables")
    given = parser.parse_args()
    settings = Settings(num_samples=given.samples, num_starts=given.starts)
    command = f"python benchmarks/fits.py {shlex.join(sys.argv[1:])}".strip()
    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    lines = [
        *("# Fits", "", f"`{command}`", ""),
        f"{date}; {platform.machine()}; {versions}. {given.samples} bootstrap samples from {given.starts} starts in "
        "each study; 95 % intervals.",
        *("", "| scenario | studies | quantity | coverage | of accepted | refused | median width |"),
        "|---|---|---|---|---|---|---|",
    ]
    for name, study in {**FORM_SCENARIOS, **OTHER_SCENARIOS}.items():
        if given.only in name:
            num = given.studies if name in FORM_SCENARIOS else given.others
            for quantity, row in simulate(study, settings, num).iterrows():
                shares = " | ".join(f"{row[column]:.1%}" for column in ("coverage", "of accepted", "refused"))
                lines.append(f"| {name} | {num} | {quantity} | {shares} | {row['median width']:.3g} |")
                print(lines[-1], flush=True)
    if given.only in TIMING:
        lines += ["", *timing()]
        print("\n".join(lines[-8:]))
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
