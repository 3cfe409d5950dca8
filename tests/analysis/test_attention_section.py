import numpy as np
import pandas as pd
import pytest

from analysis import attention_section, load, sections

INITS = ("language", "random")


@pytest.fixture(scope="module")
def data(synthetic, tmp_path_factory):
    """Bit XOR from two inits under two train sets, three seeds; one more body that does not attend."""
    rows, looked = [], []
    for seed in range(3):
        for init in INITS:
            for train_set in ("full", "fpt"):
                row = synthetic.run(accuracy=0.9, seed=seed, init=init, train_set=train_set)
                rows.append(row)
                for query in (2, 3):
                    looked.append(synthetic.attention(row, "untrained", query, 0.5))
                    mass = 0.55 if init == "random" else 0.8 + 0.02 * seed
                    looked.append(synthetic.attention(row, "selected", query, mass))
        rows.append(synthetic.run(accuracy=0.5, seed=seed, body="lstm", init="random"))
    out = synthetic.write(tmp_path_factory.mktemp("maps") / "out", rows, attention=looked)
    return sections.tables(load.load(out), command="study report")


@pytest.fixture(scope="module")
def part(data):
    return attention_section.attention_maps(data)


def test_the_map_that_is_drawn_is_of_fpt_with_a_panel_per_init_and_state(part):
    (picture,) = part.pictures
    assert set(picture.table["train_set"]) == {"fpt"} and set(picture.table["init"]) == set(INITS)
    for _, drawn in picture.variants:
        titles = [each.text for each in drawn.layout.annotations]
        expected = ["language, before training: 50 %", "language, after: 82 %"]
        expected += ["random, before training: 50 %", "random, after: 55 %"]
        assert titles == [f"<b>{title}</b>" for title in expected]
        assert len(drawn.data) == 4
        # Two tokens with places 0 and 2 each, framed; equal ones in one frame.
        assert len(drawn.layout.shapes) == 4 * 2
    trained = picture.variants[0][1].data[1]
    assert np.array(trained.z)[0].tolist() == pytest.approx([0.41, 0.18, 0.41, 0.0])
    assert "58.3 %" in picture.caption and "n = 3 seeds" in picture.caption


def test_the_table_has_every_train_set_with_its_number(part):
    body = part.section.body
    assert "<td>82.0 [" in body and "bit-xor" in body
    csv = part.files["attention-all.csv"].splitlines()
    assert len(csv) == 1 + 4 and csv[0].startswith("task,train_set,init,setting")
    assert "Of 3 done runs of these tasks there is no attention" in body
    assert body.count('data-task="bit-xor"') == 1 + 4  # the figure, and each line of the table


def test_a_ledger_without_attention_has_no_section(data):
    none = pd.DataFrame(columns=data.frames.attention.columns)
    frames = load.Frames(data.frames.source, data.frames.runs, data.frames.curves, data.frames.missing, (), none)
    assert attention_section.attention_maps(sections.tables(frames, command="study report")) is None
