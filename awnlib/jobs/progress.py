"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class Progress:
    """Shows how far a run has come.

    Parameters
    ----------
    total
        Number of steps in all.
    initial
        Steps done before (a resumed run).
    title
        What is running.
    every_s
        In a log: seconds between two lines at least; the last step always gets one.
    shown
        False: say nothing, in all but one of several processes that do the same.
    """

    def __init__(
        self, total: int, *, initial: int = 0, title: str = "", every_s: float = 10.0, shown: bool = True
    ) -> None:
        self.total = total
        self.title = title
        self.every_s = every_s
        self.shown = shown
        self._terminal = shown and sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=initial, desc=title, disable=not self._terminal)
        self._last_line = time.monotonic()

    def update(self, step: int, **values: float) -> None:
        """Report that `step` steps are done, with the current values of some quantities."""
        if self._terminal:
            self._bar.set_postfix(values, refresh=False)
            self._bar.update(step - self._bar.n)
        elif self.shown and (step == self.total or time.monotonic() - self._last_line >= self.every_s):
            self._last_line = time.monotonic()
            texts = [f"{name} {value:.4g}" for name, value in values.items()]
            print(f"{self.title}: {', '.join([f'step {step}/{self.total}', *texts])}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
