import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import body_cards, body_curves, body_table, body_tensors, images, load, sections, style, tensor_figure
from analysis.bodies import bodies
from analysis.report import write_report
from analysis.tensor_kinds import kinds
from models import BODIES

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def out(synthetic, tmp_path):
    """A ledger of two runs: one of a language body, one of a random body without a key."""
    rows = [synthetic.run(accuracy=0.9, init=init) for init in ("language", "random")]
    return synthetic.write(tmp_path / "out", rows)


@pytest.fixture(scope="module")
def whole(synthetic, synthetic_cards, tmp_path_factory):
    """The tables of a ledger with cards of all kinds."""
    rows = [synthetic.run(accuracy=0.9, init=init) for init in ("language", "bit-memory", "random")]
    out = synthetic.write(tmp_path_factory.mktemp("bodies") / "out", rows)
    synthetic_cards.bodies(out)
    return sections.tables(load.load(out), command="study report")


@pytest.fixture(scope="module")
def part(whole):
    return bodies(whole)


def read(out):
    return body_cards.read(load.load(str(out)))


def section(out):
    return bodies(sections.tables(load.load(str(out)), command="study report"))


def texts(html):
    return re.sub(r"<[^>]*>", " ", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))


def test_cards_become_rows_points_and_tensors(whole):
    found = whole.bodies
    assert found.cards["init"].tolist() == ["language", "bit-memory", "random", "statistics", "shuffled"]
    language = found.cards.iloc[0]
    assert (language["num_runs"], language["metric"], language["baseline_metric"]) == (1, "bits_per_byte", 4.53)
    assert language["is_better_lower"] is True
    points = found.curves[found.curves["key"] == language["key"]]
    assert points["num_tokens"].tolist() == [0, 92160, 184320, 276480, 368640, 460800]
    tensors = found.tensors[found.tensors["key"] == language["key"]]
    assert len(tensors) == 4 * 12 + 3
    first = tensors.set_index("name").loc["h.3.mlp.c_fc.weight"]
    assert (first["layer"], first["shape"], first["group"]) == (3, "16x64", "feedforward")
    assert tensors.set_index("name").loc[["ln_f.bias", "wpe.weight"], "layer"].isna().all()
    assert found.problems == () and found.lost == {} and found.num_without == found.num_unread == 0


def test_card_of_an_older_program_is_shown_as_far_as_it_goes(out, synthetic_cards):
    newer = synthetic_cards.pretrained_card()
    lacking = ("kind", "init", "is_better_lower", "baseline_metric", "num_layers", "num_params", "num_resumed")
    synthetic_cards.put_card(out, {name: value for name, value in newer.items() if name not in lacking})
    (card,) = read(out).cards.to_dict("records")
    assert (card["kind"], card["init"], card["is_better_lower"]) == ("pretrained", "language", None)
    part = section(out)
    assert [picture.name for picture in part.pictures] == ["body-curves"]
    assert "2.38\u00a0bits\u00a0per\u00a0byte" in part.section.body


def test_revision_with_changes_is_not_shown_as_the_commit(out, synthetic_cards):
    synthetic_cards.put_card(out, synthetic_cards.pretrained_card(git_revision=f"{'0123456789' * 4}+changes"))
    assert "<td>0123456789+changes</td>" in section(out).section.body


def test_one_sentence_and_no_figure_without_bodies(synthetic, tmp_path):
    part = section(synthetic.write(tmp_path / "out", [synthetic.run(accuracy=0.9, init="random")]))
    assert part.pictures == ()
    assert part.section.body == "<p>No body of this ledger has a card.</p>"


def test_bodies_of_runs_without_a_card_are_counted_and_named(out):
    part = section(out)
    assert "Bodies without a card that runs used: 1, by 1 run (gpt2-nano-language-0)." in texts(part.section.body)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"key": "torn', "not whole JSON"),
        (b"\xff\xfe{", "not whole JSON"),
        (b"[" * 100_000, "not whole JSON"),
        (b"[]", "not the card of a body"),
        (b'{"name": "something else"}', "not the card of a body"),
        (b'{"kind": "pretrained", "key": "other"}', "it names another body, other"),
        (None, "it is a folder"),
    ],
    ids=["torn", "binary", "deep", "list", "foreign", "moved", "folder"],
)
def test_card_that_is_none_is_reported_and_the_others_are_shown(out, synthetic_cards, content, reason):
    synthetic_cards.put_card(out, synthetic_cards.pretrained_card())
    path = Path(out) / "bodies" / "broken" / "card.json"
    path.parent.mkdir() if content is not None else path.mkdir(parents=True)
    if content is not None:
        path.write_bytes(content)
    found = read(out)
    assert found.problems == (f"bodies/broken/card.json: {reason}",)
    assert found.cards["init"].tolist() == ["language"]
    (Path(out) / "bodies" / "in-the-making").mkdir()
    assert read(out).num_without == 1


def test_parts_of_a_card_that_cannot_be_read_are_reported(out, synthetic_cards):
    card = synthetic_cards.pretrained_card(tensors=[{"name": "a", "shape": [2]}, {"shape": [2]}, 3])
    card["curve"][0] = {"step": "first"}
    synthetic_cards.put_card(out, card | {"seed": "none", "wall_seconds": -1})
    found = read(out)
    assert len(found.curves) == 5 and len(found.tensors) == 1
    assert [line.partition(": ")[2] for line in found.problems] == [
        "1 of 6 entries of curve cannot be read",
        "2 of 3 entries of tensors cannot be read",
    ]
    assert found.cards[["seed", "wall_seconds"]].isna().all(axis=None)


@given(changes=st.data())
@settings(max_examples=25, deadline=None)
def test_no_card_costs_the_report(whole, synthetic_cards, tmp_path_factory, changes):
    card = synthetic_cards.pretrained_card(matrices=synthetic_cards.gpt2_tensors(num_layers=1, width=2))
    for name in changes.draw(st.lists(st.sampled_from([*card, "body_seed", "source_key"]), max_size=4)):
        card[name] = changes.draw(ANYTHING, label=name)
    for entry in (*card["curve"], *card["tensors"]) if isinstance(card["curve"], list) else ():
        if isinstance(entry, dict) and entry and changes.draw(st.booleans()):
            entry[changes.draw(st.sampled_from(sorted(entry)))] = changes.draw(ANYTHING)
    out = tmp_path_factory.mktemp("any")
    (out / "ledger.json").write_bytes((Path(whole.frames.source) / "ledger.json").read_bytes())
    synthetic_cards.put_card(out, card, key="any")
    found = body_cards.read(load.Frames(str(out), whole.frames.runs, whole.frames.curves, whole.frames.missing))
    assert len(found.cards) + len(found.problems) >= 1
    curves, tensors = body_curves.table(found), body_tensors.table(found)
    if len(curves):
        body_curves.draw(curves, columns=1)
    for name in body_tensors.architectures(tensors):
        mine = tensors[tensors["architecture"] == name]
        body_tensors.numbers(mine, sorted(mine["init"].unique()))
        for rows in (body_tensors.matrices(mine), body_tensors.norms(mine)):
            if len(rows):
                tensor_figure.draw(rows, columns=[1], shares_axis=True)
    body_tensors.compared(found, tensors)
    body_table.cards(found)


def test_text_from_cards_is_never_markup(out, synthetic, synthetic_cards):
    hostile = dict.fromkeys(("init", "body", "metric", "x"), synthetic.HOSTILE)
    tensors = synthetic_cards.statistics(synthetic_cards.gpt2_tensors(num_layers=1, width=2))
    tensors[0]["name"] = tensors[2]["group"] = synthetic.HOSTILE
    synthetic_cards.put_card(out, synthetic_cards.pretrained_card(tensors=tensors, key="hostile") | hostile)
    part = section(out)
    assert len(part.pictures) == 3
    for markup in ("<img", "<script>alert"):
        assert markup not in part.section.body
    for picture in part.pictures:
        for trace in picture.variants[0][1].data:
            assert "<img" not in f"{trace.name}{trace.hovertemplate}"
        assert all("<img" not in note.text for note in picture.variants[0][1].layout.annotations)


def test_pretraining_has_a_panel_per_metric_and_a_line_per_body(whole):
    figure = body_curves.draw(body_curves.table(whole.bodies))
    assert [note.text for note in figure.layout.annotations] == [
        "<b>language: bits per byte ↓</b>",
        "<b>bit-memory: accuracy ↑</b>",
    ]
    lines = {
        trace.line.color: trace for trace in figure.data if trace.mode == "lines+markers" and trace.x[0] is not None
    }
    language = lines[style.INIT_LOOKS["language"].colour]
    assert list(language.x[:6]) == [0, 92160, 184320, 276480, 368640, 460800]
    assert language.y[5] == pytest.approx(2.38, abs=0.04)
    baselines = [trace.y[0] for trace in figure.data if trace.name == "trivial predictor"]
    assert baselines == [4.53, 0.75]
    assert figure.layout.xaxis.type is None and figure.layout.yaxis2.tickformat == ".0%"


def test_tokens_are_logarithmic_where_pretraining_lengths_are_far_apart(out, synthetic_cards):
    for size, num_tokens in (("nano", 460_800), ("base", 160_000_000)):
        card = synthetic_cards.pretrained_card(num_tokens=num_tokens, size=size, key=size)
        synthetic_cards.put_card(out, card)
    part = section(out)
    (picture,) = part.pictures
    assert "logarithmic axis, which leaves out the untrained bodies" in picture.caption
    figure = picture.variants[0][1]
    assert figure.layout.xaxis.type == "log"
    assert min(x for trace in figure.data for x in trace.x if x is not None) > 0
    assert {trace.name for trace in figure.data if trace.showlegend} == {"gpt2 nano", "gpt2 base", "trivial predictor"}


def test_tensors_have_a_row_per_statistic_and_a_column_per_kind(part):
    matrices, norms = part.pictures[1:]
    wide, narrow = (figure for _, figure in matrices.variants)
    expected = ["attention qkv", "attention output", "feedforward in", "feedforward out"]
    assert [note.text for note in wide.layout.annotations] == [f"<b>{kind}</b>" for kind in expected] * 4
    titles = [wide.layout[f"yaxis{i if i > 1 else ''}"].title.text for i in (1, 5, 9, 13)]
    assert titles == ["mean", "standard deviation", "spectral norm", "relative spectral norm"]
    assert wide.layout.yaxis5.range == wide.layout.yaxis8.range
    assert len({axis.domain for axis in narrow.select_xaxes()}) == 1
    norm_titles = [note.text for note in norms.variants[0][1].layout.annotations][:4]
    assert norm_titles == [f"<b>layer norm {i} {part}</b>" for part in ("weight", "bias") for i in (1, 2)]
    shown = [trace.name for trace in wide.data if trace.showlegend]
    assert sorted(shown) == sorted(["language", "bit-memory", "random", "statistics", "shuffled", "independent values"])


def test_noise_of_means_is_not_enlarged(part):
    figure = part.pictures[1].variants[0][1]
    low, high = figure.layout.yaxis.range
    spread = part.pictures[1].table.query("layer >= 0 and spectral_norm > 0")["std"].median()
    assert high - low >= 0.2 * spread


def test_lines_hold_the_numbers_of_the_cards_in_the_look_of_their_init(whole, part):
    names = [f"h.{layer}.attn.c_proj.weight" for layer in range(4)]
    card = whole.bodies.full["gpt2-nano-language-0"]
    norms = {entry["name"]: entry["spectral_norm"] for entry in card["tensors"]}
    figure = part.pictures[1].variants[0][1]
    (line,) = [trace for trace in figure.data if trace.name == "language" and trace.xaxis == "x10"]
    assert list(line.x[:4]) == [0, 1, 2, 3]
    assert list(line.y[:4]) == [norms[name] for name in names]
    look = style.INIT_LOOKS["language"]
    assert (line.line.color, line.marker.symbol) == (look.colour, look.symbol)


def test_controls_are_compared_with_their_source(whole, part, synthetic_cards):
    source = synthetic_cards.gpt2_tensors(0.12, rank=3, seed=1)
    derived = synthetic_cards.derived(source, "shuffled")
    ratios = [
        np.linalg.norm(values, 2) / np.linalg.norm(before, 2)
        for (_, _, layer, before), (_, _, _, values) in zip(source, derived, strict=True)
        if layer is not None and before.ndim == 2
    ]
    sentences = body_tensors.compared(whole.bodies, body_tensors.table(whole.bodies))
    assert len(sentences) == 2
    assert "shuffled has the standard deviation of each of 16 matrices of language to within 0.1 %" in sentences[1]
    assert f"{np.median(ratios):.2g} times those of language in the median" in sentences[1]
    assert f"({min(ratios):.2g} to {max(ratios):.2g})" in sentences[1]
    assert sentences[0] in texts(part.section.body)


def test_spectral_norm_of_independent_values_is_1_relative_to_its_limit(out, synthetic_cards):
    values = [("h.0.attn.c_attn.weight", "attention", 0, np.random.default_rng(0).normal(0, 0.3, (200, 300)))]
    constant = [("h.0.mlp.c_fc.weight", "feedforward", 0, np.zeros((4, 4)))]
    synthetic_cards.put_card(out, synthetic_cards.control_card("random", values + constant))
    relative = body_tensors.table(read(out)).set_index("name")["relative_spectral_norm"]
    assert relative["h.0.attn.c_attn.weight"] == pytest.approx(1, abs=0.03)
    assert np.isnan(relative["h.0.mlp.c_fc.weight"])


@pytest.mark.parametrize("body", sorted(BODIES))
def test_every_tensor_of_our_bodies_has_a_kind_in_words(body):
    from models.bodies import architecture
    from models.groups import assign

    built = architecture(body, size="nano")
    groups = assign(built.core_shapes, built.patterns)
    names = [(name, groups.get(name, "positions")) for name in built.shapes]
    found = [re.search(r"\.(\d+)\.", name) for name, _ in names]
    rows = pd.DataFrame(names, columns=["name", "group"]).assign(layer=[match and int(match[1]) for match in found])
    words = kinds(rows)
    inside = rows["layer"].notna()
    in_one_layer = words == "attention relative positions"  # T5's first
    assert words[inside & ~in_one_layer].value_counts().unique().tolist() == [rows["layer"].nunique()]
    known = ("attention ", "feedforward ", "layer norm ", "input gates", "recurrent gates", "global ")
    assert [word for word in words[inside].unique() if not word.startswith(known)] == []


def test_unknown_names_are_kinds_of_their_own():
    rows = pd.DataFrame({"name": ["x.0.odd.weight", "x.1.odd.weight", "x.0.c_attn"], "group": None, "layer": [0, 1, 0]})
    assert kinds(rows).tolist() == ["odd", "odd", "c_attn"]


def test_many_cards_stay_within_bounds(out, synthetic_cards, monkeypatch):
    monkeypatch.setattr(body_cards, "MOST_CARDS", 60)
    monkeypatch.setattr(body_table, "MOST_ROWS", 20)
    tensors = synthetic_cards.statistics(synthetic_cards.gpt2_tensors(num_layers=1, width=2))
    for i in range(90):
        card = synthetic_cards.pretrained_card(seed=i, key=f"body-{i:04}", tensors=tensors)
        synthetic_cards.put_card(out, card)
    synthetic_cards.put_card(out, synthetic_cards.control_card("random", [], tensors=tensors))
    synthetic_cards.put_card(out, synthetic_cards.pretrained_card())
    found = read(out)
    assert found.num_unread == 32
    assert "gpt2-nano-language-0" in set(found.cards["key"])
    part = section(out)
    text = texts(part.section.body)
    assert "Bodies beyond the 60 most used ones, not read: 32." in text
    assert "Bodies of this ledger: 20 of 60" in text
    assert f"The curves of {60 - body_curves.MOST_DRAWN} further cards are in the CSV only." in text
    assert len(part.pictures[0].table["key"].unique()) == 60
    drawn = body_tensors.drawn(part.pictures[1].table)
    assert drawn["key"].nunique() == body_tensors.MOST_LINES


def test_page_has_the_section_with_its_files(out, synthetic_cards, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "write", lambda jobs: "no browser here")
    synthetic_cards.bodies(out)
    page = write_report(out, str(tmp_path / "page"), ["study", "report"])
    html = page.read_text(encoding="utf-8")
    assert '<section id="bodies"' in html
    for stem in ("body-curves", "body-matrices", "body-norms"):
        assert f'id="figure-{stem}"' in html
        assert (page.parent / "figures" / f"{stem}.html").is_file()
    tensors = pd.read_csv(page.parent / "figures" / "body-matrices.csv")
    assert len(tensors) == 5 * (4 * 12 + 3)
    assert "<dt>corpus</dt><dd>CPython documentation</dd>" in html
    assert "<dt>tensors</dt>" not in html and "<dt>curve</dt>" not in html
    assert json.dumps({}) in html
