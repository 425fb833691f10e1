"""Which files of a folder are images; hidden files, other debris and files of other formats are left out."""

from __future__ import annotations

import os
from pathlib import PurePath

from awnlib.data.raw import DataError
from awnlib.files import shown, why_unreadable

ENDINGS = frozenset(
    {".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""In lower case. Formats of still images only: a GIF may be an animation."""
DEBRIS = frozenset({"__macosx", "__pycache__", "@eadir", "$recycle.bin", "lost+found"})
"""Folders, in lower case, that systems put beside the files of a user, with copies of these in some of them."""


class ImageFiles:
    """Lists the images in folders, each folder once, and remembers what it left out.

    Parameters
    ----------
    root
        The folder that all others lie in; what was left out is named relative to it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)
        self._entered: dict[str, str] = {}
        self._left_out: dict[str, list[str]] = {}

    def below(self, folder: str) -> list[str]:
        """Return the paths of all images in a folder and the folders in it, in the order of torchvision's ImageFolder.

        Raises
        ------
        DataError
            If something is neither a file nor a folder (a link to nothing), cannot be read, or is reached twice.
        """
        images, waiting = [], [folder]
        while waiting:
            folders, files = self.inside(waiting.pop())
            waiting += folders
            images += [file for file in files if not self._other_ending(file)]
        return sorted(images, key=os.path.split)

    def inside(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the paths of folders and files that lie directly in a folder, without debris; raises as `below`."""
        self._enter(folder)
        folders, files = [], []
        for entry in _entries(folder):
            if entry.name.startswith(".") or entry.name.lower() in DEBRIS:
                self.leave_out("hidden", entry.path)
            elif _is_folder(entry):
                folders.append(entry.path)
            else:
                files.append(entry.path)
        return sorted(folders), sorted(files)

    def leave_out(self, kind: str, path: str) -> None:
        """Remember that a file or folder was not read, and why."""
        self._left_out.setdefault(kind, []).append(path)

    def left_out(self) -> str:
        """Return in words what was left out, an example of each kind; nothing if nothing was."""
        return ", ".join(
            f"{len(paths)} {kind} ({shown(os.path.relpath(min(paths), self.root))})"
            for kind, paths in sorted(self._left_out.items())
        )

    def _enter(self, folder: str) -> None:
        earlier = self._entered.setdefault(os.path.realpath(folder), folder)
        if earlier != folder:
            raise DataError(f"{shown(folder)} leads to {shown(earlier)}, whose images would be read twice: remove it")

    def _other_ending(self, file: str) -> bool:
        ending = PurePath(file).suffix.lower()
        if ending not in ENDINGS:
            self.leave_out(ending or "without an ending", file)
        return ending not in ENDINGS


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"{why_unreadable(folder, error)}: mend or remove it") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, and not a file; raise a `DataError` if it is neither, or a folder named so."""
    try:
        is_folder = entry.is_dir()
        if not is_folder and not entry.is_file():
            entry.stat()
            raise DataError(f"{shown(entry.path)} is neither a file nor a folder: remove it")
    except OSError as error:
        raise DataError(f"{why_unreadable(entry.path, error)}: mend or remove it") from None
    if is_folder and PurePath(entry.name).suffix.lower() in ENDINGS:
        raise DataError(f"{shown(entry.path)} is a folder, but named as an image: rename or remove it")
    return is_folder
