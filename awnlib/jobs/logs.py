"""Sending the output of a job to its log file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TextIO


def speak_utf8(stream: TextIO) -> None:
    """Let a stream of this process write UTF-8 whatever the locale, which may lack the signs of a table."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def log_to(path: str | Path) -> None:
    """Send everything that this process prints from now on, on either stream, to a file.

    File descriptors are redirected, so that libraries which write past Python are heard too. The file is UTF-8.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
        speak_utf8(stream)
    os.close(descriptor)
