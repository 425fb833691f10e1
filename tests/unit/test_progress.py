import io
import sys

import pytest

from awnlib.jobs import progress as module
from awnlib.jobs.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_log_gets_a_plain_line_now_and_then(capsys, clock):
    progress = Progress(100, title="a/b", every_s=10)
    for step in range(1, 101):
        clock.now += 1
        progress.update(step, loss=1 / 3, lr=0.01)
    progress.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "a/b: step 10/100, loss 0.3333, lr 0.01"
    assert [line.split(",")[0] for line in lines] == [f"a/b: step {step}/100" for step in range(10, 101, 10)]
    assert "\r" not in captured.err


def test_last_step_gets_a_line_however_short_the_run(capsys, clock):
    progress = Progress(3, title="short")
    for step in (1, 2, 3):
        progress.update(step)
    assert capsys.readouterr().err == "short: step 3/3\n"


def test_terminal_gets_a_bar_that_counts_what_was_done_before(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(100, initial=40, title="a/b")
    progress.update(60, loss=0.5)
    progress.update(100, loss=0.25)
    progress.close()
    text = terminal.getvalue()
    assert "a/b:" in text
    assert "40/100" in text
    assert "100/100" in text
    assert "step 100/100" not in text  # no plain lines beside the bar
