"""docs/extending.md, followed to the letter."""

import math
import os
import re
import shutil
import subprocess
import sys

import pytest

from awnlib.results.schemas import read_table

MODEL = ["awnlib/models/tiny_resnet.py"]
DATA = ["awnlib/data/sources/stripes.py"]
PAPER = [f"awnlib/papers/tiny_paper/{name}" for name in ("exhibits.yaml", "values.csv", "claims.py")]
TASK = ["awnlib/tasks/denoising.py", "awnlib/tasks/_denoising_settings.py", "awnlib/models/plain_filter.py"]
STUDIES = ["extended.yaml", "denoised.yaml"]
SUITES = {
    "tiny_resnet": (["tests/unit/test_models_conform.py", "tests/unit/test_saving.py"], 50),
    "tiny_paper": (["tests/unit/test_exhibits_conform.py"], 10),
    "denoising": (["tests/unit/test_tasks_conform.py"], 20),
}


def page_of(repository):
    return (repository / "docs/extending.md").read_text(encoding="utf-8")


def call(folder, *arguments):
    """Return what a Python module or program prints in a folder, whose own `awnlib` it imports."""
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([sys.executable, *arguments], cwd=folder, env=settings, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def extended(repository, tmp_path_factory):
    """A copy of the package, its tests and its workflow, with the page's files in their places."""
    folder = tmp_path_factory.mktemp("extended")
    for part in ("awnlib", "tests", "workflow", "profiles"):
        shutil.copytree(repository / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "Snakefile", "config.yaml"):
        shutil.copy(repository / part, folder)
    files = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```", page_of(repository), re.MULTILINE | re.DOTALL))
    assert sorted(files) == sorted([*MODEL, *DATA, *PAPER, *TASK, "tests/tasks/denoising.json", *STUDIES])
    for name, text in files.items():
        assert not (folder / name).exists()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def followed(extended):
    """The folder in which the page's studies were done and published."""
    for study in STUDIES:
        call(extended, "-m", "tests.follow", study)
    return extended


def test_a_network_needs_no_file(repository, tmp_path):
    (block,) = re.findall(r"^```python\n(import torch.*?)^```", page_of(repository), re.MULTILINE | re.DOTALL)
    result = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    connections = 9 * 8 + 9 * sum(range(1, 9))  # 8 rows read an image, 1 to 8 channels
    assert (result.stdout, result.stderr) == (f"{16 * 16 * connections + 2 * 8} 13\n", "")


def test_the_new_model_learns_the_new_data_set_by_the_new_method(followed):
    sweep = read_table(followed / "results/extended/tables/sweep.parquet").query("metric == 'top1_pct'")
    assert set(sweep["method"]) == {"awn", "awn_rs_6"}
    for _, rows in sweep.groupby("method"):
        assert len(rows) == 18  # 6 to 23 channels
        assert rows.set_index("width_mult").loc[1.0, "score"] > 90


def test_the_papers_table_and_figure_have_the_titles_and_looks_of_the_page(followed):
    results = followed / "results/extended"
    table = (results / "tables/tiny_paper.table1.md").read_text(encoding="utf-8")
    assert re.search(r"\| TinyResNet, Stripes \| [\d.]+ \(paper 99\.50, [+-][\d.]+\) \| [\d.]+ \|\n", table)
    figure = (results / "figures/tiny_paper.figure1.svg").read_text(encoding="utf-8")
    written = set(re.findall(r"<!-- (.*?) -->", figure))
    assert {"TinyResNet, Stripes", "AWN+RS(6)", "test accuracy (%)", "multiply-adds per image"} <= written
    assert re.search(r"stroke-dasharray: 1\.4,1\.4; stroke-dashoffset: 0; stroke: #117733", figure)


def test_the_page_of_results_shows_the_papers_claim_and_number(followed):
    page = (followed / "published/README.md").read_text(encoding="utf-8")
    assert "| A Tiny Paper (nobody, 2026) | 0 | 0 | 0 | 1 |" in page
    assert re.search(r"\| Table 1 \| TinyResNet, Stripes \| Sampling more widths helps \| \*\*undecided", page)
    assert "(paper 99.50, " in page
    assert "![What a given amount of computation buys](extended/tiny_paper.figure1.png)" in page


def test_the_new_task_is_trained_swept_and_shown_by_its_own_metric(followed):
    results = followed / "results/denoised"
    sweep, evaluations = (read_table(results / f"tables/{name}.parquet") for name in ("sweep", "evaluations"))
    assert set(sweep["test_set"]) == {"16px", "12px", "9px"}
    assert set(evaluations["variant"]) == {"as_trained", "recal4", "recal10", "recal20"}
    best = sweep.query("metric == 'snr_db' and width_mult == 1 and test_set == '12px'").groupby("method")["score"].max()
    assert best["awn"] > 10 * math.log10(1 / 0.5**2)  # of the noisy images themselves
    us_net = sweep.query("method == 'us_net'").pivot(index=["test_set", "metric", "width_mult"], columns="variant")
    assert us_net["score"].nunique(axis=1).eq(1).all()  # without norms recalibration has nothing to do
    table = (results / "tables/tiny_paper.table1.md").read_text(encoding="utf-8")
    expected = evaluations.query("method == 'awn' and metric == 'snr_db' and test_set == '12px'")["score"].item()
    assert f"| PlainFilter, Stripes, 12px | {expected:.2f} | " in table
    figure = (results / "figures/tiny_paper.figure1.svg").read_text(encoding="utf-8")
    written = set(re.findall(r"<!-- (.*?) -->", figure))
    assert {"PlainFilter, Stripes, 12px", "US-Net(4w)", "signal-to-noise ratio (dB)"} <= written


def test_a_study_without_what_the_paper_claims_is_published_without_the_claim(followed):
    assert "| [denoised](#denoised) |" in (followed / "published/README.md").read_text(encoding="utf-8")
    assert (followed / "published/README.md").read_text(encoding="utf-8").count("Sampling more widths helps") == 1


def test_the_commands_plan_the_study_and_a_part_of_it(repository, extended):
    commands = re.findall(r"^    snakemake (.*)$", page_of(repository), re.MULTILINE)
    assert [command.split()[-1] for command in commands] == STUDIES
    (only,) = re.findall(r"^`(--config only=\S+)`", page_of(repository), re.MULTILINE)
    for command, missing in ((f"{commands[0]} {only}", {"recalibrate_bn", "draw_figure"}), (commands[1], set())):
        plan = call(extended, "-m", "snakemake", *command.split(), "--dry-run", "--forceall")
        jobs = set(re.findall(r"^(\w+) +\d+$", plan, re.MULTILINE))
        assert {"train_model", "recalibrate_bn", "make_table", "draw_figure"} - jobs == missing


@pytest.mark.parametrize("name", SUITES)
def test_the_suites_find_what_is_new(repository, extended, name):
    """They know nothing by its name: most of their tests run, as for everything else."""
    files, least = SUITES[name]
    assert f"    pytest {' '.join(files)} -k {name}\n" in page_of(repository)
    printed = call(extended, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", name)
    assert int(re.search(r"(\d+) passed", printed)[1]) > least


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_the_files_pass_the_checks_of_the_project(extended, command):
    call(extended, "-m", "ruff", *command, *(name for name in [*MODEL, *DATA, *PAPER, *TASK] if name.endswith(".py")))
