import pytest

from analysis import curves
from analysis.load import load


@pytest.fixture(scope="module")
def table(synthetic, tmp_path_factory):
    """Two done seeds, one diverged at step 100, one failed without curve."""
    done = [synthetic.run(accuracy=0.9, seed=seed) for seed in (0, 1)]
    diverged = synthetic.run(seed=2, status="diverged")
    failed = synthetic.run(seed=3, status="failed", error="no data")
    points = [[(0, 0.5), (100, 0.6), (200, 0.8)], [(0, 0.4), (100, 0.8), (200, 1.0)]]
    rows = [evaluation for run, some in zip(done, points, strict=True) for evaluation in synthetic.curve(run, some)]
    rows += synthetic.curve(diverged, [(0, 0.5), (100, 0.1)])
    rows += [evaluation | {"split": "train", "accuracy": 0.0} for evaluation in synthetic.curve(done[0], [(0, 0)])]
    out = synthetic.write(tmp_path_factory.mktemp("curves") / "out", [*done, diverged, failed], rows)
    return curves.table(load(out))


def test_mean_and_range_over_done_seeds_by_hand(table):
    done = table[table["status"] == "done"]
    assert done["step"].tolist() == [0, 100, 200]
    assert done["accuracy"].tolist() == pytest.approx([0.45, 0.7, 0.9])
    assert done["low"].tolist() == pytest.approx([0.4, 0.6, 0.8])
    assert done["high"].tolist() == pytest.approx([0.5, 0.8, 1.0])
    assert done["num_seeds"].tolist() == [2, 2, 2]


def test_diverged_run_stands_apart(table):
    lone = table[table["status"] == "diverged"]
    assert lone["seed"].tolist() == [2, 2]
    assert lone["accuracy"].tolist() == [0.5, 0.1]


def test_figure_draws_line_band_and_diverged_run(table):
    figure = curves.draw(table)
    names = [trace.name for trace in figure.data]
    assert names.count("language") == 2  # band and line
    line = next(trace for trace in figure.data if trace.name == "language" and trace.line.width)
    assert list(line.y) == pytest.approx([0.45, 0.7, 0.9])
    lone = next(trace for trace in figure.data if "diverged" in trace.name)
    assert list(lone.y) == [0.5, 0.1]
    assert list(lone.marker.size) == [0, 9]  # the cross stands where the run ended


def test_panels_for_each_task_and_train_set(study_ledger):
    figure = curves.draw(curves.table(load(study_ledger)))
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert len(titles) == 12
    assert titles[0] == "<b>bit-memory · fpt</b>"


def test_ledger_without_curves(synthetic, tmp_path):
    out = synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9)])
    assert curves.table(load(out)).empty
