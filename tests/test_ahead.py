"""Stages in threads of their own: in order, a bounded number ahead, and ended with whoever asked for them."""

import gc
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import count, islice

import pytest

from mien.ahead import ahead


def test_items_come_in_order_and_all_of_them():
    assert list(ahead(iter(range(1000)), 3)) == list(range(1000))
    assert list(ahead([], 1)) == []


def test_it_runs_no_further_ahead_than_it_may():
    made = []

    def items():
        for i in count():
            made.append(i)
            yield i

    with closing(ahead(items(), 4)) as stage:
        assert next(stage) == 0
        deadline = time.monotonic() + 5
        while len(made) < 6 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        assert made == list(range(6))  # one taken, four waiting, one more in the hand


def test_stages_overlap():
    here, there = threading.Event(), threading.Event()

    def items():
        yield 1
        here.set()
        assert there.wait(5)  # can only be set by the consumer of the first item
        yield 2

    stage = ahead(items(), 1)
    assert next(stage) == 1
    assert here.wait(5)
    there.set()
    assert list(stage) == [2]


def test_an_error_comes_after_what_was_made_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    stage = ahead(items(), 5)
    assert next(stage) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stage)
    assert [thread for thread in threading.enumerate() if thread.name == "mien-ahead"] == []


@pytest.mark.parametrize("taken", [0, 1, 50])
def test_closing_ends_the_thread_and_closes_what_it_ran(taken):
    closed = []

    def items():
        try:
            yield from count()
        finally:
            closed.append(threading.current_thread().name)

    stage = ahead(ahead(items(), 2), 2)
    assert list(islice(stage, taken)) == list(range(taken))
    stage.close()
    assert threading.active_count() == len([t for t in threading.enumerate() if t.name != "mien-ahead"])
    assert closed == ([] if taken == 0 else ["mien-ahead"])


def test_a_stage_that_another_thread_closes_is_not_waited_for():
    """A garbage collection may close it in any thread, also in one that the stage itself waits for."""
    gate = threading.Event()

    def items():
        yield 0
        gate.wait(10)
        yield 1

    stage = ahead(items(), 1)
    next(stage)
    closer = threading.Thread(target=stage.close)
    closer.start()
    closer.join(5)
    assert not closer.is_alive()
    gate.set()


def test_a_program_that_ends_with_an_open_stage_ends_well():
    code = """
from itertools import count
from mien.ahead import ahead
stage = ahead(ahead(count(), 2), 2)
print(next(stage))
raise SystemExit(3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (3, "0\n", "")


def test_a_stage_that_is_forgotten_ends_too():
    stage = ahead(ahead(count(), 2), 2)
    next(stage)
    del stage
    gc.collect()
    assert [thread for thread in threading.enumerate() if thread.name == "mien-ahead"] == []
