"""What each job's digest holds, in the real package."""

import inspect
import re
import shutil
from importlib import import_module

import pytest

from awnlib.jobs import digest
from awnlib.jobs.code import CANNOT_CHANGE_RESULTS, JOBS, SETTINGS, VALUES, job_code, reached_code
from awnlib.results.exhibits import exhibit_names, is_table, renderer_path
from awnlib.studies.kinds import KINDS, load_any_study, study_jobs
from tests.conftest import REPOSITORY

MODEL = {"train": "lenet_3c1l", "search": "resnet18"}
OF_A_TASK = {"train", "train_model", "train_transferred", "recalibrate_bn", "sweep_widths", "measure_residuals"}
DECLARED = [
    job
    for name in ("ci.yaml", "us_nets_ci.yaml", "width_transfer_ci.yaml")
    for there in study_jobs(load_any_study(REPOSITORY / "configs" / name)).values()
    for job in list(there.values())[:1]
]


@pytest.fixture(scope="module")
def before():
    return digests()


@pytest.fixture
def edited(before, tmp_path, monkeypatch):
    """Return a function that tells which jobs an edit makes stale: old and new text, and the module that has it."""

    def stale(module, old, new):
        ignored = shutil.ignore_patterns("__pycache__")  # which other processes may be writing
        monkeypatch.setattr(digest, "PACKAGE", shutil.copytree(digest.PACKAGE, tmp_path / "awnlib", ignore=ignored))
        path = digest._path(module)
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        return {stage for stage, value in digests().items() if value != before[stage]}

    yield stale
    monkeypatch.undo()
    forget()


def forget():
    for function in (digest._parse, digest._definition, digest._method, reached_code):
        function.cache_clear()


def digests():
    forget()
    found = {job.stage: job.code for job in DECLARED}
    found |= {
        stage: job_code(stage, model=MODEL.get(stage), task="classification" if stage == "train" else None)
        for stage in JOBS.keys() - EXHIBITS - COLLECTS
    }
    for kind in KINDS:
        found[f"collect_{kind}"] = job_code("collect_results", others=(f"studies.{kind}.collect.collect",))
    for name in NAMES:
        stage = "make_table" if is_table(name) else "draw_figure"
        found[name] = job_code(stage, others=(renderer_path(name),))
    return found


EXHIBITS, COLLECTS = {"make_table", "draw_figure"}, {"collect_results"}
NAMES = [*exhibit_names("widths"), *exhibit_names("transfer")]
MADE = {name for name in NAMES if is_table(name)}
CURVES = {name for name in NAMES if renderer_path(name) == "results.renderers.curves"}
IN_ORDER = (MADE | CURVES) - {"us_nets.inequality3_shares"}  # of variants
TABLES = {"collect_widths", "collect_transfer", *MADE}
FIGURES = {*NAMES} - MADE
TRANSFERS = {"search_widths", "transfer_widths", "train_transferred"}
SEARCHES = {"search", "search_widths"}
RESIDUALS = {"measure_residuals"}
TRAINING = {"train", "train_model", "train_transferred"}


@pytest.mark.parametrize(
    ("module", "old", "new", "stale"),
    [
        ("studies.widths.jobs", "DRIFT_IMAGES = 512", "DRIFT_IMAGES = 256", {"train_model"}),
        (
            "studies.widths.jobs",
            "RESIDUAL_BATCH, RESIDUAL_WIDTHS = 512",
            "RESIDUAL_BATCH, RESIDUAL_WIDTHS = 256",
            RESIDUALS,
        ),
        ("studies.widths.jobs", '"num_switches": len', '"num_switches": 1 + len', {"sweep_widths"}),
        ("studies.widths.jobs", "run.widths[0], points", "run.widths[0], 2 * points", {"recalibrate_bn"}),
        ("results.variants", "else int(widths)", "else 1 + int(widths)", IN_ORDER),
        ("tasks.classification", "label_smoothing = 0.0", "label_smoothing = 0.1", OF_A_TASK),
        ("tasks.classification", "cross-entropy (nats)", "cross entropy in nats", set()),
        ("tasks.classification", 'title="accuracy"', 'title="top-1 accuracy"', set()),
        ("tasks.classification", 'unit="%"', 'unit="percent"', OF_A_TASK),
        ("tasks._supervised", "sums[metric][some] +=", "sums[metric][some] -=", OF_A_TASK),
        ("training.objectives", "def loss_weights(", "def loss_weights(_=None, *", TRAINING),
        ("training.methods", "self.widths in ALWAYS", "self.widths not in ALWAYS", TRAINING | {"sweep_widths"}),
        ("training.methods", 'default=""', 'default="a paper"', set()),
        ("training.run", "LearningRate = 0.01", "LearningRate = 0.02", set()),
        ("models.lenet_3c1l", 'TITLE = "LeNet-3C1L"', 'TITLE = "LeNet"', set()),
        ("models.lenet_3c1l", "def _pooled(", "def _pooled(_=None, *", {"train", "train_model"}),
        ("studies.transfer.jobs", "TEST_BATCH = 250", "TEST_BATCH = 25", {"train_transferred"}),
        (
            "width_transfer.projection",
            "choose_images(self,",
            "choose_images(self, _,",
            {"search_widths", "train_transferred"},
        ),
        ("width_transfer.projection", '"base_width_mult": self', '"depth": self', TRANSFERS),
        ("width_transfer.dmcp", "def backward(", "def backward(_=None, *", {"search", "search_widths"}),
        ("jobs.progress", "self.title = title", "self.title = str(title)", set()),
        ("jobs.memory", "M_TRIM_THRESHOLD, KEPT_BYTES", "M_TRIM_THRESHOLD, 1", set()),
        ("jobs.resumable", "starting anew", "from the start", set()),
        ("jobs.resumable", "CHECK_EVERY = 20", "CHECK_EVERY = 10", TRAINING | SEARCHES),
        ("results.columns", "its mean over the epoch", "mean over the epoch", TABLES),
        ("results.renderers.curves", "SIZE = (3.4, 3.7)", "SIZE = (3.4, 3.8)", CURVES),
        ("papers.width_transfer.cosines", "MOST_NUMBERS = 12", "MOST_NUMBERS = 1", {"width_transfer.figure_a2"}),
        ("results.style", '"dpi": 150', '"dpi": 100', FIGURES),
    ],
)
def test_an_edit_makes_stale_what_reaches_it(edited, module, old, new, stale):
    assert edited(module, old, new) == stale


@pytest.mark.parametrize("stage", JOBS)
def test_roots_are_functions_of_the_package(stage):
    for root in JOBS[stage]:
        if root not in CANNOT_CHANGE_RESULTS:
            module, _, name = root.rpartition(".")
            assert inspect.isfunction(getattr(import_module(f"awnlib.{module}"), name)), root


def test_modules_that_do_not_count_exist():
    for module in CANNOT_CHANGE_RESULTS | SETTINGS | VALUES - {"methods.yaml", "exhibits.yaml"}:
        assert digest._path(module) is not None, module


def test_every_rule_takes_its_code_from_the_table(repository):
    rules = "".join(path.read_text() for path in (repository / "workflow" / "rules").glob("*.smk"))
    used = set(re.findall(r'(?:job|exhibit)_code\(\s*"(\w+)"', rules))
    assert used == JOBS.keys() - {"train", "search"}


def test_unknown_names():
    with pytest.raises(ValueError, match=r"no job is called 'learn' \(allowed: prepare_data, collect_results"):
        job_code("learn")
    with pytest.raises(ValueError, match=r"no module or definition 'models.lenet'"):
        job_code("train", model="lenet")


@pytest.mark.parametrize("name", ["widths.html.jinja", "transfer.html.jinja", "page.html.jinja", "macros.html.jinja"])
def test_an_edit_of_a_template_writes_reports_again(before, tmp_path, monkeypatch, name):
    package = shutil.copytree(digest.PACKAGE, tmp_path / "awnlib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "PACKAGE", package)
    with (package / "report" / name).open("a") as file:
        file.write("{# another word #}\n")
    forget()
    assert job_code("report") != before["report"]
    monkeypatch.undo()
    forget()


def test_files_of_one_name_count_all(before, tmp_path, monkeypatch):
    """Each paper has a file of its numbers."""
    package = shutil.copytree(digest.PACKAGE, tmp_path / "awnlib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "PACKAGE", package)
    found = [before["report"]]
    for paper in ("a_paper", "z_paper"):
        (package / "papers" / paper).mkdir()
        (package / "papers" / paper / "values.csv").write_text(paper)
        forget()
        found.append(job_code("report"))
    assert len(set(found)) == 3
    monkeypatch.undo()
    forget()
