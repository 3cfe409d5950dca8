import io
import json
import shutil
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from analysis import images, pictures
from analysis.pictures import Picture

CHROME = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
FIGURE = pio.to_json(go.Figure(go.Scatter(x=[0, 1], y=[0, 1])))


def jobs(folder):
    return [images.Job(FIGURE, str(folder / f"line.{ending}"), 300, 200, 1) for ending in ("png", "svg")]


@pytest.mark.browser
@pytest.mark.skipif(CHROME is None, reason="no chromium, google-chrome or chrome in PATH")
def test_png_and_svg_are_drawn(tmp_path):
    assert images.write(jobs(tmp_path)) is None
    assert (tmp_path / "line.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "line.svg").read_text()


def test_browser_that_does_not_start_leaves_a_reason_and_no_files(tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/bin/false")
    reason = images.write(jobs(tmp_path))
    assert reason and "\n" not in reason
    assert list(tmp_path.iterdir()) == []


def test_browser_that_hangs_is_given_up(tmp_path, monkeypatch):
    hanging = tmp_path / "browser"
    hanging.write_text("#!/bin/sh\nsleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(hanging))
    monkeypatch.setattr(images, "START_SECONDS", 4)
    monkeypatch.setattr(images, "SECONDS_PER_IMAGE", 0)
    assert images.write(jobs(tmp_path)) == "the browser gave no image within 4 s"


def test_without_kaleido_the_reason_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "fpt-study[images]" in images.write(jobs(tmp_path))


@pytest.mark.parametrize(("budget", "expected"), [(-1, images.ALWAYS), (1000, images.ALWAYS + 3)])
def test_later_images_are_drawn_only_while_there_is_time(monkeypatch, budget, expected):
    drawn = []
    size = {"width": 1, "height": 1, "scale": 1}
    wanted = [{"figure": "{}", "file": f"{i}.png", **size} for i in range(images.ALWAYS + 3)]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wanted)))
    monkeypatch.setattr(images, "BUDGET_SECONDS", budget)
    monkeypatch.setattr(images, "_draw", drawn.extend)
    images.main()
    assert [job.file for job in drawn] == [f"{i}.png" for i in range(expected)]


def test_the_reader_is_told_how_many_figures_have_images(tmp_path, monkeypatch):
    def first_only(jobs):
        for job in jobs[:2]:
            Path(job.file).touch()
        return "no time"

    monkeypatch.setattr(images, "write", first_only)
    figure = go.Figure(layout={"height": 100})
    drawn = [Picture(name, "c", "a", pd.DataFrame({"v": [1]}), ((0, figure),)) for name in ("one", "two")]
    (notice,) = pictures.save(drawn, tmp_path, command="x")
    assert notice.startswith("PNG and SVG files of 1 of 2 figures were written (no time)")
