"""The report of a large ledger: how long it takes, what memory it needs, how large the page is and that it can be read.

    python benchmarks/report.py                                    # 20,000 runs with 100 evaluations each
    python benchmarks/report.py --runs 2000 --write table.md       # less, and a table in a file

The ledger is made up (`paper_ledger.py`): the papers' tables and the scaling ladders at both scales, and as many
further seeds as it takes. `study report` runs in a process of its own, the start of the program included; then its page
is opened in a headless Chrome, unfolded and scrolled through. Exits with 1 where a limit is missed or the browser
complains.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paper_ledger import make, specs

MAX_SECONDS, MAX_GIB, MAX_MB = 60, 3, 15
VIEWPORTS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
TIMED = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
UNFOLD = "document.querySelectorAll('main details').forEach(fold => { fold.open = true; })"
UNDRAWN = "[...document.querySelectorAll('.plot')].findIndex(plot => !plot.querySelector('.main-svg'))"


@dataclass(frozen=True)
class Line:
    """One line of the table: what was done, and whether it kept its limit."""

    words: str
    found: str
    limit: str
    is_kept: bool


def reported(out: str, to: Path, environment: dict[str, str], words: str) -> list[Line]:
    """`study report` once, in a process of its own."""
    command = [sys.executable, "-c", TIMED, sys.executable, "-m", "study", "report", "--out", out, "--to", str(to)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    seconds, cpu_seconds, kib = map(float, answer.stdout.splitlines()[-1].split())
    gib, megabytes = kib / 2**20, (to / "index.html").stat().st_size / 1e6
    return [
        Line(
            f"{words}: seconds (CPU seconds)",
            f"{seconds:.1f} ({cpu_seconds:.1f})",
            f"{MAX_SECONDS} s",
            seconds <= MAX_SECONDS,
        ),
        Line(f"{words}: peak memory", f"{gib:.2f} GiB", f"{MAX_GIB} GiB", gib <= MAX_GIB),
        Line(f"{words}: page", f"{megabytes:.1f} MB", f"{MAX_MB} MB", megabytes <= MAX_MB),
    ]


def opened(page_file: Path, chrome: str, name: str) -> Line:
    """The page in a browser: every figure drawn, every filter used, no complaint."""
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=VIEWPORTS[name])  # type: ignore[arg-type]
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        started = time.perf_counter()
        page.goto(page_file.as_uri())
        ready = time.perf_counter() - started
        page.evaluate(UNFOLD)
        num, waited = page.locator(".plot").count(), 0
        while (place := page.evaluate(UNDRAWN)) >= 0 and waited < 100 * num:
            page.evaluate(f"document.querySelectorAll('.plot')[{place}].scrollIntoView()")
            page.wait_for_timeout(20)
            waited += 1
        drawn = time.perf_counter() - started - ready
        for select in page.locator(".filters select").all():
            select.select_option(index=1)
        fits = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        lacking = page.evaluate(UNDRAWN) >= 0
        browser.close()
    found = f"readable after {ready:.1f} s, {num} figures drawn in {drawn:.1f} s, {len(complaints)} complaints"
    is_kept = not (complaints or lacking) and fits
    return Line(f"opened on a {name}", found, "all drawn, none wider than the window, no complaint", is_kept)


def measured(folder: Path, num_runs: int, num_points: int) -> Iterator[Line]:
    """The lines of the table, one after the other."""
    out = make(folder / "out", specs(num_runs), num_points=num_points)
    chrome = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    yield from reported(out, folder / "page", {"BROWSER_PATH": "/bin/false"}, "`study report` without static images")
    if chrome is not None:
        yield from (opened(folder / "page" / "index.html", chrome, name) for name in VIEWPORTS)
        yield from reported(out, folder / "pictured", {}, "`study report` with static images")[:1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--points", type=int, default=100, help="evaluations of each run")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    args = parser.parse_args()
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("pyarrow", "pandas", "plotly"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first step"
    size = f"{args.runs:,} runs asked for, with {args.points} evaluations each"
    text = [
        "# Report",
        "",
        f"`{shlex.join(['python', 'benchmarks/report.py', *sys.argv[1:]])}`",
        "",
        f"{datetime.date.today()}; {machine}; Python {platform.python_version()}, {packages}; {size}.",
        "",
        "| step | measured | limit |",
        "|---|---|---|",
    ]
    print("\n".join(text), flush=True)
    all_kept = True
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(Path(folder), args.runs, args.points):
            text.append(f"| {line.words} | {line.found} | {line.limit}{'' if line.is_kept else ': missed'} |")
            print(text[-1], flush=True)
            all_kept &= line.is_kept
    if args.write:
        args.write.write_text("\n".join([*text, ""]), encoding="utf-8")
    return 0 if all_kept else 1


if __name__ == "__main__":
    sys.exit(main())
