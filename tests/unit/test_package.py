"""What the package says of itself: its version, the versions of others that it needs, and how it is cited."""

import itertools
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

WITHOUT_METADATA = """
import importlib.metadata, sys
def version(name): raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = version
import awnlib
print(awnlib.__version__)
"""


def test_a_checkout_that_is_not_installed_can_be_imported():
    done = subprocess.run([sys.executable, "-c", WITHOUT_METADATA], capture_output=True, text=True, check=True)
    assert done.stdout == "0+unknown\n"


def test_the_workflow_asks_for_the_snakemake_that_the_package_does(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = re.findall(r'min_version\("(.+)"\)', (repository / "Snakefile").read_text(encoding="utf-8"))
    assert project["optional-dependencies"]["workflow"] == [f"snakemake>={wanted}"]


@pytest.mark.parametrize("folder", [".", "plugins/snakemake-executor-plugin-submitit"])
def test_what_is_installed_has_one_version_that_is_allowed(folder, repository):
    data = tomllib.loads((repository / folder / "pyproject.toml").read_text(encoding="utf-8"))
    extras = data["project"].get("optional-dependencies", {}).values()
    wanted = [*data["build-system"]["requires"], *data["project"]["dependencies"], *itertools.chain(*extras)]
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in map(Requirement, wanted):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} has no version in constraints.txt"
        assert version in requirement.specifier, f"{requirement}: {version} in constraints.txt"


@pytest.fixture
def citation(repository):
    return yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_software_is_cited_as_it_is(citation, repository):
    """What the Citation File Format, version 1.2.0, requires, and what `pyproject.toml` says."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["message"]
    assert citation["title"] == project["name"]
    assert [citation[key] for key in ("version", "license", "keywords", "authors")] == [
        project[key] for key in ("version", "license", "keywords", "authors")
    ]


def test_papers_are_cited_in_full(citation):
    """Names are words: an unquoted given name `True` is not."""
    for paper in citation["references"]:
        assert paper["type"] in ("article", "conference-paper")
        assert paper["authors"]
        words = [paper["title"], paper["url"], paper.get("journal") or paper["collection-title"]]
        words += [name for author in paper["authors"] for name in (author["given-names"], author["family-names"])]
        assert all(isinstance(word, str) and word for word in words), words
        assert isinstance(paper["year"], int)


def test_every_paper_that_the_readme_names_is_cited(citation, repository):
    last = (repository / "README.md").read_text(encoding="utf-8").rsplit("Apache-2.0.", 1)[1]
    named = [" ".join(title.split()) for title in re.findall(r"\*([^*]+)\*", last)]
    assert len(named) == 7
    for name in named:
        assert any(paper["title"].startswith(name) for paper in citation["references"]), name
