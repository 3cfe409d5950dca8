import shutil

import plotly.graph_objects as go
import plotly.io as pio
import pytest

from analysis import images

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
