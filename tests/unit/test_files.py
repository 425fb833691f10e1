import hashlib
import os
import signal
import subprocess
import sys

import pytest
import torch

from awnlib.files import atomic_path, sha256, shown, why_unreadable
from awnlib.jobs.checkpoint import save_tensors


def test_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename between file systems is a copy
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the ne")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, sys\nfrom awnlib.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as t:\n    t.write_text('half')\n    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_files_have_the_mode_that_the_umask_gives(tmp_path, shapes, umask):
    """Whoever writes them: safetensors alone gives 0600."""
    before = os.umask(umask)
    try:
        shapes.save(tmp_path / "data.safetensors")
        save_tensors(tmp_path / "model.safetensors", {"weight": torch.zeros(2)}, {})
        with atomic_path(tmp_path / "plain.txt") as temporary:
            temporary.write_text("one")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("data.safetensors", "model.safetensors", "plain.txt"), 0o666 & ~umask)


def test_sha256(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_why_a_file_cannot_be_read(tmp_path):
    (tmp_path / "link").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    latin = os.fsdecode(os.fsencode(tmp_path) + b"/m\xe9")
    words = {
        "link": "is a link to nothing, which is not there",
        "loop": "is a link to loop, which is not there",
        "folder": "is a folder, not a file",
        "none": "does not exist",
        latin: "does not exist",
    }
    for name, why in words.items():
        with pytest.raises(OSError, match=r"Errno") as caught:
            (tmp_path / name).read_bytes()
        assert why_unreadable(tmp_path / name, caught.value) == f"{shown(tmp_path / name)} {why}"
    assert shown(latin) == f"{tmp_path}/m\\xe9"
    assert why_unreadable("a", OSError(5, "Input/output error")) == "a cannot be read (Input/output error)"
    assert why_unreadable("a", PermissionError(13, "Permission denied")) == "a may not be read (permission denied)"
