import re

import pytest

from analysis import load, sections, speed_section


@pytest.fixture(scope="module")
def part(study_ledger):
    """Four tasks, three inits, three train sets and seeds; a run diverged, one failed, three were never run."""
    return speed_section.how_soon(sections.tables(load.load(study_ledger), command="study report"))


def text_of(part):
    body = re.sub(r"<script.*?</script>", "", part.section.body, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_every_cell_has_its_time_or_a_bound(part):
    text = text_of(part)
    assert "bit-xor fpt language" in text and "3 of 3" in text
    assert "2 of 3 1 diverged" in text or "1 diverged" in text
    assert "language over random" in text and "same accuracy" in text
    (picture,) = part.pictures
    assert set(picture.table["task"]) == {"bit-memory", "bit-xor", "listops", "digits"}
    for _, drawn in picture.variants:
        assert [each.text for each in drawn.layout.annotations][:2] == ["<b>bit-memory</b>", "<b>bit-xor</b>"]
    # Language rises at about step 220 of this ledger, random at 420, in the middle of the rise.
    rows = picture.table[(picture.table["task"] == "bit-xor") & (picture.table["train_set"] == "fpt")]
    steps = rows.set_index("init")["estimate"]
    assert steps["language"] < steps["random"]


def test_a_ledger_of_two_readings_says_that_it_cannot_tell(synthetic, tmp_path):
    row = synthetic.run(accuracy=0.9)
    out = synthetic.write(tmp_path / "out", [row], synthetic.curve(row, [(0, 0.5), (800, 0.9)]))
    part = speed_section.how_soon(sections.tables(load.load(out), command="study report"))
    assert part is not None and "Of 1 runs it cannot be told" in text_of(part) and part.pictures == ()


def test_a_ledger_without_results_has_no_section(synthetic, tmp_path):
    out = synthetic.write(tmp_path / "out", [synthetic.run(status="failed", error="no data")])
    assert speed_section.how_soon(sections.tables(load.load(out), command="study report")) is None
