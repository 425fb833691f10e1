"""Writing files so that a reader, or a restart after a kill, never meets half of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and rename it to ``path`` when the block succeeds.

    The folder is created. If the block raises, ``path`` stays as it was and the temporary file is removed. The file
    gets the mode of any new file there, whatever wrote it: safetensors lets nobody else read its files.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as text that any file can hold: bytes of a name that are not UTF-8 are written as escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def why_unreadable(path: str | os.PathLike[str], error: OSError) -> str:
    """Return for a message which file or folder cannot be read, and why."""
    name, path = shown(path), Path(path)
    if path.is_symlink() and not path.exists():
        return f"{name} is a link to {shown(os.readlink(path))}, which is not there"
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist"
    if isinstance(error, PermissionError):
        return f"{name} may not be read (permission denied)"
    if path.is_dir():
        return f"{name} is a folder, not a file"
    return f"{name} cannot be read ({error.strerror or error})"


def sha256(path: str | Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
