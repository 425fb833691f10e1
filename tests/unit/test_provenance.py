"""Provenance: what it says about software and machine, and what it must not say."""

import getpass
import platform
import re
import subprocess
from datetime import datetime
from importlib.metadata import version

import pytest

from awnlib.jobs import provenance as module
from awnlib.jobs.provenance import provenance


def commit_file(folder, name="code.py", text="x = 1"):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)

    (folder / name).write_text(text)
    git("init")
    git("add", name)
    git("commit", "-m", "start")


def test_versions_machine_and_time_are_text():
    found = provenance(study="demo")
    assert found["study"] == "demo"
    assert found["torch"] == version("torch")
    assert int(found["num_cpus"]) >= 1
    assert found["cpu"]
    assert datetime.fromisoformat(found["created"]).utcoffset().total_seconds() == 0
    assert all(isinstance(value, str) for value in found.values())


def test_neither_host_nor_user_is_named():
    text = " ".join(provenance().values())
    for private in (platform.node(), getpass.getuser()):
        assert not re.search(rf"\b{re.escape(private)}\b", text)


def test_a_package_that_is_not_installed_is_empty(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package",))
    assert provenance()["no-such-package"] == ""


def test_git_state_of_a_clean_and_of_a_changed_checkout(tmp_path):
    commit_file(tmp_path)
    commit, changes = module._git_state(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    assert changes == "no"
    (tmp_path / "code.py").write_text("x = 2")
    assert module._git_state(tmp_path) == (commit, "yes")


def test_git_state_is_empty_where_git_does_not_track_the_source(tmp_path, monkeypatch):
    commit_file(tmp_path)
    installed = tmp_path / "site-packages"
    installed.mkdir()
    assert module._git_state(installed) == ("", "")
    monkeypatch.setenv("PATH", "")
    assert module._git_state(tmp_path) == ("", "")


@pytest.mark.parametrize("missing", [False, True])
def test_cpu_model_without_the_usual_file(monkeypatch, missing):
    def read_text(self, **_):
        if missing:
            raise FileNotFoundError
        return "processor : 0\n"

    monkeypatch.setattr(module.Path, "read_text", read_text)
    assert module._cpu_model() == platform.processor()
