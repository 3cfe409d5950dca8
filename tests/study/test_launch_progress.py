import io
import json

import pytest
from rich.console import Console

from study import progress
from study.progress import Board, Part


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def _board(text: io.StringIO, is_terminal: bool = False) -> Board:
    console = Console(file=text, force_terminal=is_terminal, width=120)
    return Board("runs", work=[1.0, 3.0], total=4, console=console)


def test_the_remaining_time_follows_the_work_not_the_number_of_parts(clock):
    board = _board(io.StringIO())
    with board.shown():
        assert board.seconds_left() is None
        clock[0] += 60
        board.update(0, Part(ended=1, failed=0, fraction=1.0, error=""))
        assert board.seconds_left() == pytest.approx(180)
        board.update(1, Part(ended=0, failed=0, fraction=1 / 3, error=""))
        assert board.seconds_left() == pytest.approx(60)


def test_where_the_parts_share_the_work_what_ended_says_how_long_it_takes(clock):
    board = Board("proposals", work=[1.0] * 10, total=80, is_shared=True, console=Console(file=io.StringIO()))
    with board.shown():
        clock[0] += 60
        # Two of ten workers do all of it; each tells how far the whole is.
        for number, ended in enumerate((8, 12)):
            board.update(number, Part(ended=ended, failed=0, fraction=0.25, error=""))
        assert board.seconds_left() == pytest.approx(180)


def test_plain_lines_come_now_and_then_and_once_at_the_end(clock):
    text = io.StringIO()
    board = _board(text)
    with board.shown():
        for second in range(1, 61):
            clock[0] += 1
            board.update(0, Part(ended=second // 30, failed=0, fraction=second / 60, error=""))
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("1 of 4 runs, 1 trials at work, 0:31 so far, about")
    assert lines[-1].startswith("2 of 4 runs, 0 trials at work, 1:00 so far")


def test_each_reason_of_a_failure_is_told_once(clock):
    text = io.StringIO()
    board = _board(text)
    with board.shown():
        for number in (0, 1, 1):
            board.update(number, Part(ended=2, failed=1, fraction=1.0, error="no [file] there"))
    assert text.getvalue().count("failed: no [file] there\n") == 1
    assert "4 of 4 runs, 0 trials at work, 2 failed" in text.getvalue()


def test_a_terminal_gets_a_live_line(clock):
    text = io.StringIO()
    board = _board(text, is_terminal=True)
    with board.shown():
        board.update(0, Part(ended=2, failed=0, fraction=1.0, error=""))
    assert "2 of 4 runs" in text.getvalue()


def test_the_pace_is_that_of_the_last_minutes(clock):
    board = Board(
        "runs", work=[600e9, 600e9], total=20, members=[["a"], ["b", "c"]], console=Console(file=io.StringIO())
    )
    assert board.snapshot()["ended_per_minute"] is None
    with board.shown():
        for second in range(1, 601):
            clock[0] += 1
            # Ten runs in the first minute, then one a minute.
            ended = 10 if second >= 60 else 0
            board.update(0, Part(ended + max(0, second // 60 - 1), 0, second / 1000, error="", diverged=1))
            board.update(1, Part(0, 0, 0.0, error="", gpu_memory_bytes=7))
    state = board.snapshot()
    assert state["ended_per_minute"] == pytest.approx(1, rel=0.25)  # 1.9 over the whole time
    assert state["flops_per_second"] == pytest.approx(600e9 / 1000, rel=0.01)
    assert (state["ended"], state["diverged"], state["trials_at_work"], state["run_ids"]) == (19, 1, 1, ["a"])
    # The second part has not begun, so its memory is nobody's.
    assert state["gpu_memory_bytes"] is None and json.dumps(state, allow_nan=False)


def test_the_line_says_pace_and_memory_where_there_are_any(clock):
    text = io.StringIO()
    board = _board(text)
    with board.shown():
        clock[0] += 60
        board.update(0, Part(2, 0, 0.5, error="", diverged=1, gpu_memory_bytes=3 << 30))
    assert "1 diverged" in text.getvalue() and text.getvalue().endswith(
        "2 runs/min, 0.00833FLOP/s, 3.0 GiB of GPU memory\n"
    )


def test_what_an_earlier_launch_did_is_not_the_pace_of_this_one(clock):
    board = _board(io.StringIO())
    with board.shown():
        clock[0] += 60
        board.update(1, Part(ended=0, failed=0, fraction=0.6, error="", restored=0.5))
        assert board.seconds_left() == pytest.approx(60 * (4 - 1.8) / 0.3)
        # Its worker died and another one goes on from a state of this launch: that was done in it.
        clock[0] += 60
        board.update(1, Part(ended=0, failed=0, fraction=0.7, error="", restored=0.6))
        assert board.seconds_left() == pytest.approx(120 * (4 - 2.1) / 0.6)


def test_what_comes_later_is_part_of_the_remaining_time(clock):
    board = Board("runs", work=[1.0, 3.0], total=4, later=4.0, console=Console(file=io.StringIO()))
    with board.shown():
        clock[0] += 60
        board.update(0, Part(ended=1, failed=0, fraction=1.0, error=""))
        assert board.seconds_left() == pytest.approx(60 * 7)


def test_a_worker_that_begins_again_gives_no_negative_speed_and_a_dead_one_is_not_at_work(clock):
    board = Board("runs", work=[1.0, 3.0], total=4, members=[["a"], ["b"]], console=Console(file=io.StringIO()))
    with board.shown():
        clock[0] += 60
        for number in range(2):
            board.update(number, Part(ended=0, failed=0, fraction=0.5, error=""))
        clock[0] += 60
        board.update(1, Part(ended=0, failed=0, fraction=0.5, error=""))
        clock[0] += 305
        board.update(1, Part(ended=0, failed=0, fraction=0.1, error=""))
        assert board.snapshot()["flops_per_second"] == 0
        board.lose(0)
        state = board.snapshot()
        assert (state["trials_at_work"], state["run_ids"]) == (1, ["b"])


def test_silence_is_told_now_and_then(clock):
    text = io.StringIO()
    board = _board(text)
    with board.shown():
        board.look()
        clock[0] += 299
        board.update(0, Part(ended=0, failed=0, fraction=0.1, error=""))
        clock[0] += 299
        board.look()
        assert "no trial has reported" not in text.getvalue()
        for _ in range(4):
            clock[0] += 151
            board.look()
    assert text.getvalue().count("no trial has reported for 5 minutes") == 2
