"""What people see of several stages: lines without a terminal, a table with one."""

import io
import time

import pytest
from rich.console import Console

from pipeline.console import progress
from pipeline.repro.display import Display, clock
from pipeline.supervision import PROGRESS_MARK, SHOWN


@pytest.fixture
def terminal(monkeypatch):
    """Return a terminal of 100 columns."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr("pipeline.repro.display.console", console)
    return console


def test_a_line_when_a_stage_starts_and_one_when_it_ends(capsys):
    display = Display(4)
    display.left = lambda: 600.0
    with display:
        display.end("a", needed=False)
        display.start("b")
        display.progress("b", "step 3/9")
        display.end("b", needed=True)
        display.end("c", needed=True)
        display.give_up("d", "failed")
    assert capsys.readouterr().out.splitlines() == [
        "Running stage 'b'",
        "[2/4] b: 0 s; about 10 min left",
        "[3/4] c: from the cache; about 10 min left",
        "d: failed",
    ]


def test_now_and_then_a_line_of_what_is_at_work(capsys, monkeypatch):
    display = Display(2)
    display.start("a")
    display.start("b")
    display.progress("b", "step 3/9")
    capsys.readouterr()
    display.tick()
    assert capsys.readouterr().out == ""
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    display.tick()
    display.tick()
    assert capsys.readouterr().out == "at work: a (61 s), b (step 3/9)\n"


def test_the_table_has_each_stage_at_work_and_all_of_them(terminal):
    display = Display(4)
    display.left = lambda: 600.0
    display.start("train@x")
    display.progress("train@x", "step 3/9, [red]5 s left")
    display.start("sample@y")
    with terminal.capture() as captured:
        terminal.print(display._table())
    first, second, last = (" ".join(line.split()) for line in captured.get().splitlines())
    assert first == "train@x 0 s step 3/9, [red]5 s left"
    assert second == "sample@y 0 s"
    assert last.startswith("0 of 4 stages") and last.endswith("about 10 min left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89.0, "89 s"), (420.0, "7 min"), (3 * 3600 + 300.0, "3 h 05 min")]
)
def test_lengths_of_time(seconds, text):
    assert clock(seconds) == text


def test_stages_go_on_where_nobody_listens_any_more(monkeypatch):
    def closed(line):
        raise BrokenPipeError

    monkeypatch.setattr("pipeline.repro.display.say", closed)
    monkeypatch.setattr("pipeline.repro.display.complain", closed)
    display = Display(2)
    with display:
        display.start("a")
        display.tell("what it says", error=True)
        display.end("a", needed=True)
        display.give_up("b", "failed")
    assert display.done == 1


def test_progress_of_a_stage_is_marked_for_the_driver(capsys, monkeypatch):
    monkeypatch.setattr("pipeline.console._SHOWN_SECONDS", 0.0)
    for _ in progress([1, 2], "work"):
        pass
    assert capsys.readouterr().out == ""
    monkeypatch.setenv(SHOWN, "1")
    for _ in progress([1, 2], "work"):
        pass
    line, last, end = capsys.readouterr().out.split("\n")
    assert (last, end) == (PROGRESS_MARK, "")  # what follows is not that work
    assert line.startswith(f"{PROGRESS_MARK}work: 1/2, ")
