"""Looking at processes from outside, for tests of how they end."""

import time
from contextlib import suppress
from pathlib import Path


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def processes_with(text):
    """Return the ids of processes in whose command line a text stands; those that have ended have none."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [int(file.parent.name)] * (text.encode() in file.read_bytes())
    return found
