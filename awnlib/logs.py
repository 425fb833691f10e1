"""Sending the output of a job to its log file."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def log_to(path: str | Path) -> None:
    """Send everything that this process prints from now on, on either stream, to a file.

    File descriptors are redirected, so that libraries which write past Python are heard too.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
