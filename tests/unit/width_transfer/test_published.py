"""Publishing a width-transfer study: what is copied, what is refused, and its section on the page."""

import json

import pandas as pd
import pytest
import yaml
from PIL import Image

from awnlib.jobs.records import Record, write_record
from awnlib.report.publish import PublishError, publish
from awnlib.report.results_page import write_page
from awnlib.report.transfer import contents
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import PAPERS
from awnlib.results.schemas import read_table, write_table
from awnlib.studies.base import study_yaml
from awnlib.studies.kinds import load_any_study
from awnlib.studies.transfer.cells import UNIFORM
from awnlib.studies.transfer.config import TransferStudy, load_transfer_study, parse_transfer_study
from awnlib.studies.transfer.departures import departures
from awnlib.studies.transfer.layout import markdown
from awnlib.studies.transfer.stages import retraining_record, search_record
from awnlib.studies.widths.config import load_study
from tests.unit.width_transfer.transfer_tables import DEFAULTS

ORIGIN = {"device": "cpu", "cpu": "A & B", "num_cpus": "4", "threads": "1", "torch": "2.13.0", "awnlib": "0.1.0"}
ORIGIN |= {"commit": "abc", "changes": "no", "created": "2026-02-03T00:00:00+00:00", "study": "transfer"}
SETTINGS = {
    "study": "transfer",
    "description": "Fast & <small>.",
    "seeds": [0, 1],
    "data_folder": "/home/somebody/data",
    "datasets": {"mnist5k": {"source": "mnist5k", "train_size": 2000}, "again": {"source": "mnist5k"}},
    "transfer": {
        "search": {"batch_size": 20},
        "optimizers": {"dmcp": {}, "folded": {"optimizer": "dmcp", "label": "folded", "settings": {"folds": 2}}},
        "axes": {
            "width": {"kind": "width", "model": "resnet18", "dataset": "mnist5k", "sources": [{"width_mult": 0.5}]}
        },
        "comparisons": {
            "sets": {
                "model": "resnet18",
                "datasets": ["mnist5k", "again"],
                "configurations": [{}],
                "optimizers": ["dmcp"],
            }
        },
    },
}
TOP1 = {"uniform": 70.0, "dmcp": 74.0, "folded": 75.0}
PAPER = PAPERS / "width_transfer/setting.yaml"


def transfer_row(study, axis, cell):
    """Uniform 70, DMCP 74 and folded 75 from every source and for every seed; half the width costs a quarter."""
    row = UNIFORM if cell.search is None else cell.search.optimizer
    source = cell.target if cell.search is None else cell.search.task
    searched = row != UNIFORM
    cost = 400.0 * source.configuration.width_mult**2
    return {
        **DEFAULTS,
        "axis": axis.name,
        "kind": axis.kind,
        "dataset": axis.target.dataset,
        "seed": cell.seed,
        "source": source.configuration.name,
        "source_width_mult": source.configuration.width_mult,
        "optimizer": row,
        "label": study.label(row),
        "is_direct": searched and source == axis.target,
        "test_top1_pct": TOP1[row],
        "search_macs": cost if searched else None,
        "search_time_s": 10.0 if searched else None,
        "overhead_saved_pct": 100 * (1 - cost / 400) if searched else None,
        "overhead_factor": 400 / cost if searched else None,
    }


def write(folder, name, frame):
    write_table(folder / f"tables/{name}.parquet", name, frame, ORIGIN)
    (folder / f"tables/{name}.md").write_text(markdown(name, frame))


@pytest.fixture
def results(tmp_path):
    """The results of a finished study: two rows of optimisers, two sources, two seeds, two data sets."""
    study, folder = parse_transfer_study(SETTINGS), tmp_path / "results"
    rows = [transfer_row(study, axis, cell) for axis in study.axes() for cell in axis.retrainings(study.seeds)]
    for name in study.tables:
        write(folder, name, pd.DataFrame(rows if name == "transfer" else [], columns=TABLES[name].names))
    (folder / "figures").mkdir()
    for name in study.figures:
        Image.linear_gradient("L").convert("RGBA").save(folder / f"figures/{name}.png")
    (folder / "study.yaml").write_text(study_yaml(study))
    (folder / "complete.json").write_text("{}")
    paths = [search_record(folder, one) for one in study.searches().values()]
    paths += [retraining_record(folder, one) for one in study.retrainings().values()]
    for day, path in enumerate(paths, start=1):
        origin = ORIGIN | {"created": f"2026-02-{day:02d}T10:00:00+00:00"}
        write_record(path, Record("search_widths", "ok", None, {}, provenance=origin))
    return folder


@pytest.fixture
def page(tmp_path):
    """Return a function that writes the page and returns it."""

    def make():
        write_page(tmp_path / "docs")
        return (tmp_path / "docs/README.md").read_text()

    return make


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_published(results, tmp_path):
    publish(results, tmp_path / "docs")
    published = contents_of(tmp_path / "docs/transfer")
    study = parse_transfer_study(SETTINGS)
    assert set(published) == {
        *("study.yaml", "provenance.json"),
        *(f"{name}.{suffix}" for name in study.tables for suffix in ("parquet", "md")),
        *(f"{name}.png" for name in study.figures),
    }
    assert {"transfer.md", "datasets.parquet", "width_transfer.figure3.png", "width_transfer.figure_a2.png"} <= set(
        published
    )
    assert published["transfer.parquet"] == (results / "tables/transfer.parquet").read_bytes()
    with Image.open(tmp_path / "docs/transfer/width_transfer.figure3.png") as figure:
        assert (figure.mode, figure.size) == ("P", (256, 256))
    assert load_transfer_study(tmp_path / "docs/transfer/study.yaml").data_folder is None


def test_searches_and_retrainings_are_counted_once_each(results, tmp_path):
    """DMCP and folded, from two widths and again on the other data set (DMCP only), with two seeds."""
    publish(results, tmp_path / "docs")
    origin = json.loads((tmp_path / "docs/transfer/provenance.json").read_text())
    assert origin["search_time_s"] == {"jobs": 10, "sum": 100.0, "max": 10.0}
    assert origin["retraining_time_s"] == {"jobs": 14, "sum": 28.0, "max": 2.0}
    assert (origin["first_job"], origin["last_job"]) == ("2026-02-01T10:00:00+00:00", "2026-02-24T10:00:00+00:00")
    assert (origin["cpu"], origin["missing"]) == ("A & B", [])
    assert not {"created", "study", "train_time_s"} & set(origin)


def test_the_section_of_the_page(results, tmp_path, page):
    notes = tmp_path / "text.md"
    notes.write_text("By *hand*.\n")
    publish(results, tmp_path / "docs", notes=notes)
    text = page()
    assert "| [transfer](#transfer) | A & B | 2 min | 3 | 0 | 1 | 0 |" in text
    assert "| Width Transfer (Chin, Marculescu and Morcos, 2021) | 3 | 0 | 1 | 0 |" in text
    assert "Fast & <small>." in text
    assert "- Time: searches 2 min in 10 jobs, the longest 10 s; retrainings 28 s in 14 jobs, the longest 2 s." in text
    place = "ResNet18, MNIST-5k, 1x wide, 1x deep"
    claim = "DMCP's widths from narrower networks are at most 0.5 points below direct optimisation"
    numbers = "direct 74.00 ± 0.00; from 0.5x wide 74.00 ± 0.00 (+0.00, 4.0 times cheaper)"
    assert f"| Section 4.1, Figure 3 | {place} | {claim} | **holds** | {numbers} |" in text
    assert "### Checks and questions of our own" in text
    assert "folded finds better widths than DMCP | **holds** | direct: folded 75.00" in text
    assert "**Accuracy and overhead**\n\n| axis" in text
    assert "**Widths by dimension**" not in text
    title = "From narrower and from shallower networks"
    assert f"![{title}](transfer/width_transfer.figure3.png)\n\n**{title}.** Test accuracy" in text
    paper = "Width Transfer (Chin, Marculescu and Morcos, 2021)"
    assert f"### What differs from the setting of {paper}\n\n- 2 seeds instead of 3\n" in text
    assert "### Notes\n\nBy *hand*.\n" in text
    assert "[widths.parquet](transfer/widths.parquet)" in text
    assert "### Model size" not in text


def test_a_second_call_gives_the_same_bytes_and_drops_what_is_no_longer_made(results, tmp_path, page):
    publish(results, tmp_path / "docs")
    first = page(), contents_of(tmp_path / "docs")
    for name in ("width_transfer.figure6.png", "any_width_networks.table1.md"):
        (tmp_path / "docs/transfer" / name).write_text("old")
    publish(results, tmp_path / "docs")
    assert (page(), contents_of(tmp_path / "docs")) == first


def change(folder, **changes):
    """Change the first row of the table `transfer`."""
    frame = read_table(folder / "tables/transfer.parquet")
    for column, value in changes.items():
        frame[column] = [value, *frame[column][1:]]
    write(folder, "transfer", frame)


FIRST = r"retraining width: resnet18/mnist5k/w1-d1-s1/uniform/seed0"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "complete.json").unlink(), r"complete\.json is missing"),
        (
            lambda folder: (folder / "figures/width_transfer.figure3.png").unlink(),
            r"figures/width_transfer\.figure3\.png is missing",
        ),
        (lambda folder: (folder / "tables/similarity.parquet").unlink(), r"tables/similarity\.parquet is missing"),
        (
            lambda folder: change(folder, state="failed", error="ValueError:\nwhy", test_top1_pct=None),
            FIRST + r": failed: ValueError: why",
        ),
        (
            lambda folder: change(folder, seed=7),
            FIRST + r": no result\n.*uniform/seed7: not in the configuration",
        ),
    ],
)
def test_an_incomplete_study_is_refused_or_says_what_it_lacks(results, tmp_path, page, damage, message):
    damage(results)
    with pytest.raises(PublishError, match=rf"is incomplete \(--incomplete [^:]*:\n  .*{message}"):
        publish(results, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()
    publish(results, tmp_path / "docs", incomplete=True)
    assert "**This study is incomplete.** It lacks:\n\n- " in page()


def test_a_study_without_its_main_table_cannot_be_published(results, tmp_path):
    (results / "tables/transfer.parquet").unlink()
    with pytest.raises(PublishError, match=r"is not finished: run the study until report\.html is there"):
        publish(results, tmp_path / "docs", incomplete=True)


def test_both_kinds_of_study_are_told_apart(results, repository):
    study = load_any_study(results / "study.yaml")
    assert isinstance(study, TransferStudy)
    assert contents(study, results).lost == []
    assert load_any_study(repository / "configs/ci.yaml") == load_study(repository / "configs/ci.yaml")


def test_departures_name_what_differs():
    paper = load_transfer_study(PAPER)
    assert departures(paper, paper) == []
    ours = yaml.safe_load(PAPER.read_text())
    ours["seeds"] = [0]
    ours["datasets"]["cifar100"] = {"source": "cifar100", "train_size": 5000}
    ours["transfer"]["train"] |= {"num_epochs": 10, "schedule": "linear"}
    ours["transfer"]["search"] |= {"num_epochs": 4, "num_workers": 1, "gamma": 0.5}  # the last two change nothing
    ours["transfer"]["optimizers"]["dmcp"]["settings"]["lr"] = 0.1
    axes = ours["transfer"]["axes"]
    del axes["width_mobilenet_v2"]
    axes["depth_resnet18"] = {**axes["depth_resnet18"], "target": {"depth_mult": 3}, "sources": [{"depth_mult": 1}]}
    ours["transfer"]["comparisons"]["cifar100"]["configurations"] = [{"width_mult": 0.5}]
    imagenet = "ImageNet (224 px, augmented by rand-m9-mstd0.5)"
    assert departures(parse_transfer_study(ours), paper) == [
        "1 seed instead of 3",
        f"data sets {imagenet}, CIFAR-100 (5,000 training images, not augmented) "
        f"instead of {imagenet}, CIFAR-100 (64 px, augmented by crop_flip)",
        "depth, ResNet18: 1x wide, 3x deep, 224 px (2 sources) instead of 1x wide, 4x deep, 224 px (4 sources)",
        "comparison, ResNet18: 1 configuration instead of 9 configurations",
        "left out: width (MobileNetV2)",
        "retraining: 10 epochs instead of 100, `schedule` linear instead of cosine",
        "search (MorphNet, AutoSlim, DMCP): 4 epochs instead of 40",
        "search (DMCP): `lr` 0.1 instead of 0.25",
    ]
