"""The scheduler by itself: how many at a time, in which order, and which slot each has."""

import threading

import pytest

from pipeline.repro.display import Display
from pipeline.repro.expected import Plan
from pipeline.repro.scheduler import Scheduler

SIX = {name: [] for name in "abcdef"}


def scheduled(needs, work, jobs, **options):
    slots = [{"SLOT": str(number)} for number in range(jobs)]
    display = Display(len(needs))
    return Scheduler(Plan(needs, dict.fromkeys(needs, 1.0)), work, slots, display, lambda signum: None, **options)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_as_many_at_a_time_as_slots_and_each_in_its_own(jobs):
    meeting, guard, at_work, seen = threading.Barrier(jobs, timeout=30), threading.Lock(), set(), []

    def work(name, slot):
        with guard:
            assert slot["SLOT"] not in at_work
            at_work.add(slot["SLOT"])
            seen.append(len(at_work))
        meeting.wait()  # holds only if as many as there are slots are at work at a time
        with guard:
            at_work.remove(slot["SLOT"])
        return True

    assert scheduled(SIX, work, jobs).run()
    assert len(seen) == 6
    assert max(seen) == jobs


def test_what_fails_is_kept_and_what_needs_it_is_left_out():
    done = []

    def work(name, slot):
        if name == "b":
            raise ValueError("wrong")
        done.append(name)
        return True

    run = scheduled({"a": [], "b": [], "c": ["b"], "d": ["a"], "e": ["c"]}, work, 1, on_error="keep-going")
    assert not run.run()
    assert sorted(done) == ["a", "d"]
    assert [(name, str(error)) for name, error in run.failed.items()] == [("b", "wrong")]


def test_errors_that_are_ignored_hold_nothing_up():
    done = []

    def work(name, slot):
        done.append(name)
        if name == "a":
            raise ValueError("wrong")
        return True

    run = scheduled({"a": [], "b": ["a"]}, work, 2, on_error="ignore")
    assert not run.run()
    assert done == ["a", "b"]
