"""The private SLURM itself: it comes up, leaves nothing behind, and says why it cannot be had."""

import os

import pytest

from tests.slurm import cluster as module
from tests.slurm.cluster import Cluster, ClusterError, install, missing


def test_nothing_is_left_behind(slurm):
    with Cluster(accounting=False) as cluster:
        cluster.run("sbatch", "--output", "/dev/null", "--wrap", "sleep 1000")
        pids = [daemon.pid for daemon in cluster._daemons.values()]
        assert len(pids) == 3
        assert len(cluster.jobs()) == 1
    assert not cluster.folder.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_daemons_that_do_not_come_up_are_stopped(slurm, monkeypatch):
    monkeypatch.setattr(module, "SLURM_CONF", module.SLURM_CONF + "Nonsense=1\n")
    cluster = Cluster(accounting=False)
    with pytest.raises(ClusterError, match="Nonsense"), cluster:
        pass
    assert not cluster.folder.exists()


def test_missing_programs_are_named(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "SEARCHED", "/nowhere")
    assert "munged, slurmctld" in missing()


def test_without_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in missing()
    with pytest.raises(ClusterError, match="root"):
        install()


def test_without_apt(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClusterError, match="apt-get"):
        install()


def test_apt_that_fails_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="apt-get update failed: E: no network"):
        install()
