"""What must hold before a study is run: a Python that Snakemake can start, and nobody else who runs the same study."""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
from pathlib import Path

from awnlib.settings import ConfigError

_held: list[int] = []  # files that stay open until this process ends


def check_python(executable: str) -> None:
    """Raise a ConfigError if a shell takes the path of the interpreter for something else.

    Snakemake puts it into the commands of its jobs as it is: with a space in it every job would fail.
    """
    if shlex.quote(executable) != executable:
        problem = (
            f"jobs cannot be started with a Python whose path has spaces or other special characters: {executable}; "
            "make the virtual environment in another folder (the checkout itself may stay where it is)"
        )
        raise ConfigError([problem], "this environment")


def lock_study(results: Path) -> None:
    """Keep a study for this process; raise a ConfigError that names who has it if another process runs it already.

    Snakemake's own lock is gone as soon as any other Snakemake in the same folder ends. This one ends with its process,
    killed ones included. Where the file system knows no locks, there is Snakemake's alone.
    """
    results.mkdir(parents=True, exist_ok=True)
    file = os.open(results / ".running", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 1000).decode().strip() or "another process"
        os.close(file)
        problem = f"{results} is in use by {holder}; wait for its end or stop it (other studies may run meanwhile)"
        raise ConfigError([problem], "this study") from None
    except OSError:
        pass
    os.truncate(file, 0)
    os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    _held.append(file)
