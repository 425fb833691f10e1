"""What may import what, and that importing does nothing."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import awnlib

PACKAGE = Path(awnlib.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
WITHOUT_TORCH = [
    "awnlib",
    "awnlib.evaluation.auc",
    "awnlib.settings",
    "awnlib.width_transfer.options",
    "awnlib.training.methods",
    "awnlib.models",
    "awnlib.studies.job",
    "awnlib.studies.widths.stages",
    "awnlib.studies.transfer.stages",
    "awnlib.tasks",
    "awnlib.studies.kinds",
    "awnlib.studies.widths.config",
    "awnlib.studies.widths.cells",
    "awnlib.files",
    "awnlib.jobs.logs",
    "awnlib.jobs.progress",
    "awnlib.jobs.digest",
    "awnlib.jobs.code",
    "awnlib.data.prepared",
    "awnlib.data.source_files",
    "awnlib.jobs.start",
    "awnlib.jobs.provenance",
    "awnlib.jobs.records",
    "awnlib.jobs.verdict",
    "awnlib.results.columns",
    "awnlib.results.schemas",
    "awnlib.studies.widths.collect",
    "awnlib.results.paper_values",
    "awnlib.results.exhibits",
    "awnlib.results.renderers.curves",
    "awnlib.results.renderers.at_trained_widths",
    "awnlib.results.renderers.over_all_widths",
    "awnlib.results.renderers.bn_statistics",
    "awnlib.report.page",
    "awnlib.report.report",
    "awnlib.papers.any_width_networks.claims",
    "awnlib.studies.widths.departures",
    "awnlib.report.widths",
    "awnlib.report.results_page",
    "awnlib.report.publish",
    "awnlib.width_transfer.options",
    "awnlib.studies.transfer.cells",
    "awnlib.studies.transfer.config",
    "awnlib.studies.transfer.layout",
    "awnlib.papers.width_transfer.overhead",
    "awnlib.report.transfer",
    "awnlib.papers.width_transfer.panels",
    "awnlib.papers.width_transfer.claims",
    "awnlib.studies.transfer.departures",
]


LEVELS = [
    ["report"],
    ["papers"],
    ["studies"],
    ["width_transfer"],
    ["results"],
    ["training"],
    ["evaluation", "deploy"],
    ["tasks"],
    ["reinforcement"],
    ["model_cost", "one_pass", "budget"],
    ["models"],
    ["convert"],
    ["data"],
    ["layers"],
    ["jobs"],
    ["channels", "settings", "files", "seeding", "lazy", "torchvision_shim"],
]
"""Each line imports only what stands below it or in it. A type may be named from anywhere."""


def imported(path):
    """Return the top-level names of all modules that a file imports, wherever."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("name", MODULES)
def test_package_knows_neither_workflow_nor_cluster(name):
    assert imported(MODULES[name]).isdisjoint({"snakemake", "submitit", "workflow", "tests"})


def inner_imports(name):
    """Yield the modules of the package that a module imports, wherever, but for those of types alone."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "awnlib" and id(node) not in types:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def level(module):
    room = module.split(".")[1]
    return next(index for index, rooms in enumerate(LEVELS) if room in rooms)


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"awnlib"}))
def test_nothing_is_imported_upward(name):
    assert [other for other in inner_imports(name) if other != "awnlib" and level(other) < level(name)] == []


def test_nothing_is_imported_in_a_circle():
    graph = {name: {other for other in inner_imports(name) if other != name} for name in MODULES}
    list(TopologicalSorter(graph).static_order())  # raises a CycleError that names the circle


def test_the_map_of_the_readme_is_that_of_the_borders(repository):
    section = (
        (repository / "README.md").read_text(encoding="utf-8").split("each line imports only")[1].split("plugins/")[0]
    )
    named = re.findall(r"^      ((?:\w+(?:/|\.py) )*\w+(?:/|\.py))  ", section, re.MULTILINE)
    assert [re.findall(r"(\w+)(?:/|\.py)", rooms) for rooms in named] == LEVELS
    rooms = {name.split(".")[1] for name in MODULES if name != "awnlib"}
    assert rooms == {room for rooms in LEVELS for room in rooms}


def test_no_file_name_stands_twice():
    """But for those of papers and studies, which are found by their names."""
    paths = [path for path in PACKAGE.rglob("*.py") if not {"papers", "studies"} & set(path.parts)]
    names = Counter(path.name for path in paths if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_few_files_lie_flat():
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_scripts_are_adapters(repository):
    """Scripts import the package, never each other: snakemake copies them before it runs them."""
    paths = list((repository / "workflow" / "scripts").glob("*.py"))
    assert paths
    for path in paths:
        assert imported(path) <= {"awnlib", "torch", *sys.stdlib_module_names}
        assert len(path.read_text().splitlines()) <= 40


def test_rules_import_no_torch(repository):
    """They are read at every call of snakemake, dry-runs included."""
    for path in [repository / "Snakefile", *(repository / "workflow" / "rules").glob("*.smk")]:
        lines = [line.split() for line in path.read_text().splitlines() if line.startswith(("import ", "from "))]
        assert {words[1].split(".")[0] for words in lines} <= {"awnlib", "snakemake", *sys.stdlib_module_names}


PROBE = """
import importlib, json, sys
culprits = []
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    if "torch" in sys.modules:
        culprits.append(name)
        break
print(json.dumps(culprits))
"""


def probe(code, names, folder):
    result = subprocess.run([sys.executable, "-c", code, json.dumps(names)], capture_output=True, text=True, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result


def test_config_tables_figures_and_report_need_no_torch(tmp_path):
    assert json.loads(probe(PROBE, WITHOUT_TORCH, tmp_path).stdout) == []


QUIET = """
import importlib, json, logging, os, random, signal, sys
import matplotlib, numpy, torch

def state():
    return {
        "environment": dict(os.environ),
        "folder": (os.getcwd(), os.listdir()),
        "logging": (logging.root.level, len(logging.root.handlers)),
        "torch": (torch.get_num_threads(), str(torch.get_default_dtype()), torch.is_grad_enabled()),
        "random": (str(torch.get_rng_state().tolist()), str(random.getstate()), str(numpy.random.get_state())),
        "matplotlib": str(dict(matplotlib.rcParams)),
        "signals": str([signal.getsignal(number) for number in (2, 15)]),
    }

for name in ("matplotlib.pyplot", "seaborn", "pandas", "pyarrow.parquet"):
    importlib.import_module(name)
before = state()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
after = state()
print(json.dumps([key for key in before if before[key] != after[key]]))
"""


def test_nothing_happens_at_import(tmp_path):
    """No output, no file, no seed, no thread count, no logging, no style of figures, no environment variable."""
    names = sorted(MODULES)
    result = probe(QUIET, names, tmp_path)
    assert result.stderr == ""
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_are(name):
    assert ast.get_docstring(ast.parse(MODULES[name].read_text()))


def test_the_two_forms_of_a_data_set_are_told_apart_in_one_place():
    sources = {path.name: path.read_text() for path in PACKAGE.rglob("*.py")}
    assert [name for name, text in sources.items() if re.search(r"isinstance\(.*Image(Data|Index)", text)] == [
        "access.py"
    ]
