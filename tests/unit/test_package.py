"""What the package says of itself: its version, and the versions of others that it needs."""

import re
import subprocess
import sys
import tomllib

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
