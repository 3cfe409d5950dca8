"""Ladders are found in any ledger by what its runs differ in."""

import pandas as pd

from analysis.axes import find, with_shapes
from analysis.chains import longest_chain
from analysis.scope import scale_of


def found(frame: pd.DataFrame) -> dict[tuple[str, str, str], list[float]]:
    return {
        (one.axis.name, one.train_set, one.init): [] if one.ladder is None else one.ladder.x[:, 0].round(6).tolist()
        for one in find(frame)
    }


def test_a_ledger_of_all_ladders_holds_each_of_them_and_no_other(ladders):
    held = found(ladders.runs("scaling-small"))
    assert {name for name, _, _ in held} == {"size", "depth", "width", "trained", "data", "compute"}
    assert held["depth", "full", "random"] == [1, 2, 3, 4, 6]
    assert held["width", "fpt", "language"] == [32, 64, 96, 128, 192]
    assert held["data", "full", "random"] == [32, 64, 128, 256, 512, 1024]
    assert len(held["trained", "", "statistics"]) == 6
    assert {key[2] for key in held if key[0] == "size"} == {"language", "random", "statistics"}
    assert {len(x) for key, x in held.items() if key[0] == "size"} == {6}
    assert ("depth", "fpt", "statistics") not in held  # three of its sizes share a width by accident


def test_a_sweep_of_rates_is_no_ladder_and_parts_the_ladders_it_crosses(ladders):
    frame = ladders.runs("scaling-data-small")
    frame = frame[frame["train_set"] == "fpt"]
    other = frame.assign(lr=3e-3, run_id=frame["run_id"] + "b")
    settings = {(one.init, one.setting) for one in find(pd.concat([frame, other]))}
    assert settings == {(init, f"lr {lr}") for init in ("language", "random") for lr in ("0.003", "0.01")}


def test_runs_that_are_not_done_are_counted_and_a_ladder_without_any_says_so(ladders):
    frame = ladders.runs("scaling-data-small")
    frame = frame[(frame["train_set"] == "full") & (frame["init"] == "random")]
    lost = frame.assign(status=frame["status"].where(frame["seed"] > 0, "diverged"))
    (one,) = find(lost)
    assert one.ladder is not None and one.ladder.num_diverged.tolist() == [1] * 6
    (none,) = find(frame.assign(status="failed"))
    assert none.ladder is None and none.problem == "none of 18 runs is done; run the grid to its end first"


def test_two_values_are_a_comparison_not_a_ladder(ladders):
    frame = ladders.runs("scaling-data-small")
    assert found(frame[frame["num_train_examples"] < 100]) == {}


def test_first_layers_of_a_body_are_a_ladder_of_their_own(ladders):
    """At full scale depths are the first layers of one published body."""
    frame = ladders.runs("scaling-depth-small")
    cut = frame.assign(size="6x64", num_layers=frame["size"].str[0].astype(int))
    cut.loc[cut["num_layers"] == 6, "num_layers"] = None
    shaped = with_shapes(cut)
    assert shaped["depth"].tolist() == frame["size"].str[0].astype(int).tolist() and set(shaped["trunk"]) == {"6x64"}
    assert found(cut)["depth", "full", "random"] == [1, 2, 3, 4, 6]
    twice = cut[cut["num_layers"].isna() & (cut["seed"] < 2)].assign(num_layers=6)  # the same body, named otherwise
    both = pd.concat([cut, twice.assign(run_id=twice["run_id"] + "b")])
    assert found(both)["depth", "full", "random"] == [1, 2, 3, 4, 6]
    own = with_shapes(pd.concat([cut, frame], ignore_index=True))
    assert set(own.loc[own["size"] == "1x64", "trunk"]) == {""}


def test_checkpoints_have_no_shape(ladders):
    frame = ladders.runs("scaling-data-small").assign(size=None)
    assert with_shapes(frame)[["depth", "width"]].isna().all().all()
    assert {key[0] for key in found(frame)} == {"data"}
    unknown = ladders.runs("scaling-size-small").replace({"size": {"nano": "newer-size"}})
    assert len(found(unknown)["size", "full", "random"]) == 5


def test_the_chain_of_sizes_takes_most_runs_then_the_widest_span_then_even_steps():
    shapes = [(1, 32), (1, 64), (2, 64), (3, 64), (2, 128), (4, 128)]
    assert longest_chain(shapes, [3, 3, 3, 1, 3, 3]) == set(shapes) - {(3, 64)}
    assert longest_chain([(1, 64), (2, 64), (4, 128), (1, 32)], [1, 1, 1, 1]) == {(1, 32), (1, 64), (2, 64), (4, 128)}
    assert longest_chain([(1, 32), (1, 64), (4, 64), (4, 128), (3, 96)], [1, 1, 1, 1, 1]) == {
        (1, 32), (1, 64), (4, 64), (4, 128),
    }  # fmt: skip
    assert longest_chain([(1, 32), (1, 64), (1, 128)], [1, 1, 1]) == set()  # a ladder of widths
    assert longest_chain([], []) == set()


def test_wide_sizes_without_a_name_are_of_the_full_scale():
    sizes = (None, "base", "12x768", "2x1024", "mini", "small", "2x704", "newer-size")
    assert [scale_of(size) for size in sizes] == ["full"] * 4 + ["small"] * 4
