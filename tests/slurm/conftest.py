"""One SLURM for all tests of this folder, and the study that nothing disturbed."""

import os

import pytest

from tests.slurm.cluster import Cluster, ClusterError, install, missing
from tests.slurm.study import Study

SLURM = ("--workflow-profile", "profiles/slurm", "--seconds-between-status-checks", "1")


@pytest.fixture(scope="session")
def slurm():
    """Skip if nobody asked for these minutes, or there is no SLURM; AWN_SLURM=install installs it first."""
    if "AWN_SLURM" not in os.environ:
        pytest.skip("`make test-slurm` runs these tests, on a SLURM of their own")
    problem = missing()
    if problem and os.environ["AWN_SLURM"] == "install":
        try:
            install()
            problem = missing()
        except ClusterError as error:
            problem = str(error)
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def cluster(slurm):
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def create_study(cluster, tmp_path_factory):
    """Return a function that makes a folder with the study, to be made on the cluster by the profile."""

    studies = []

    def create(*options, on=cluster, **settings):
        studies.append(Study(tmp_path_factory.mktemp("study"), (*SLURM, *options), dict(on.environment), **settings))
        return studies[-1]

    yield create
    for study in studies:
        study.kill()
    cluster.cancel_all()


@pytest.fixture(scope="session")
def undisturbed(slurm, tmp_path_factory):
    """The study, made by plain Snakemake without any cluster."""
    study = Study(tmp_path_factory.mktemp("undisturbed"), ("--cores", "2"))
    try:
        assert study.make() == 0, study.output()
    finally:
        study.kill()
    return study
