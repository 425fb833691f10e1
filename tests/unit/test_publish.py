"""Publishing a study: what is refused, what is copied, and the page over all of them."""

import json
import re
import shutil

import pandas as pd
import pytest
import yaml
from PIL import Image

from awnlib.jobs.records import Record, write_record
from awnlib.report import publish as module
from awnlib.report.publish import PublishError, main, publish, write_page
from awnlib.results.blocks import markdown
from awnlib.results.columns import TABLES
from awnlib.results.renderers import over_all_widths
from awnlib.results.schemas import read_table, write_table, write_table_files
from awnlib.settings import read_yaml
from awnlib.studies.base import study_yaml
from awnlib.studies.widths.cells import evaluations, runs
from awnlib.studies.widths.collect import run_record
from awnlib.studies.widths.config import load_study, parse_study
from awnlib.studies.widths.departures import departures

ORIGIN = {"device": "cpu", "cpu": "A & B", "num_cpus": "4", "threads": "1", "torch": "2.13.0", "awnlib": "0.1.0"}
ORIGIN |= {"commit": "abc", "changes": "no | yes", "created": "2026-02-03T00:00:00+00:00"}
TABLE2, FIGURE5 = "any_width_networks.table2", "any_width_networks.figure5"
AUCS = {"awn": 90.5, "s_net": 80.0}
PAPER = {
    "study": "paper",
    "seeds": [0],
    "datasets": {"mnist": {"source": "mnist"}},
    "train": {"num_epochs": 20, "weight_decay": 0.001},
    "exhibits": {
        "any_width_networks.table2": {
            "panels": [{"model": "lenet_3c1l", "dataset": "mnist"}],
            "methods": ["awn", "us_net"],
        }
    },
}

TRAINED = {"num_epochs": 20, "batch_size": 128, "lr": 0.01, "weight_decay": 0.0, "train_time_s": 60.0}


def settings(name="demo"):
    panel = {"model": "lenet_3c1l", "dataset": "digits", "paper_dataset": "fashion_mnist"}
    return {
        "study": name,
        "description": "Fast & <small>.",
        "seeds": [0, 1],
        "data_folder": "/home/somebody/data",
        "datasets": {"digits": {"source": "mnist5k"}},
        "exhibits": {name: {"panels": [panel], "methods": list(AUCS)} for name in (TABLE2, FIGURE5)},
    }


def cell(run):
    names = {"dataset": run.dataset, "model": run.model, "method": run.method, "seed": run.seed}
    return names | {"label": run.method_settings.label, "state": "ok", "error": None}


def table(name, rows):
    return pd.DataFrame(rows, columns=TABLES[name].names)


@pytest.fixture
def results(tmp_path):
    """Return a function that makes the results of a finished study of two methods and two seeds."""

    def make(name="demo", shift=0.0):
        study, folder = parse_study(settings(name)), tmp_path / "results" / name
        frames = {
            "runs": table("runs", [cell(run) | TRAINED for run in runs(study)]),
            "evaluations": table(
                "evaluations",
                [
                    cell(one.run)
                    | {"variant": one.variant, "sweep_time_s": 2.0}
                    | {"test_set": "test", "metric": "top1_pct", "score": AUCS[one.run.method] + one.run.seed + shift}
                    for one in evaluations(runs(study))
                ],
            ),
            "bn_drift": table("bn_drift", []),
        }
        for frame_name, frame in frames.items():
            write_table(folder / f"tables/{frame_name}.parquet", frame_name, frame, ORIGIN)
        exhibit = study.exhibit(TABLE2)
        table2 = over_all_widths.make(exhibit, frames)
        text = markdown(over_all_widths.layout(exhibit, table2))
        write_table_files(folder / f"tables/{TABLE2}", "exhibit", table2, ORIGIN, text)
        (folder / "figures").mkdir()
        for figure in (FIGURE5, f"{FIGURE5}_macs"):
            Image.linear_gradient("L").convert("RGBA").save(folder / f"figures/{figure}.png")
        (folder / "study.yaml").write_text(study_yaml(study))
        for day, run in enumerate(runs(study), start=1):
            origin = ORIGIN | {"created": f"2026-02-0{day}T10:00:00+00:00"}
            write_record(run_record(folder, run), Record("train_model", "ok", None, {}, provenance=origin))
        (folder / "complete.json").write_text("{}")
        return folder

    return make


def change(folder, name, **changes):
    """Change the first row of a table of the results."""
    path = folder / f"tables/{name}.parquet"
    frame = read_table(path)
    for column, value in changes.items():
        frame[column] = [value, *frame[column][1:]]
    write_table(path, name, frame, ORIGIN)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def page(to):
    write_page(to)
    return (to / "README.md").read_text()


def test_what_is_published(results, tmp_path):
    source, to = results(), tmp_path / "docs"
    publish(source, to)
    published = contents(to / "demo")
    assert sorted(published) == [
        *(f"{FIGURE5}.png", f"{FIGURE5}_macs.png", f"{TABLE2}.md", f"{TABLE2}.parquet"),
        *("bn_drift.parquet", "evaluations.parquet", "provenance.json", "runs.parquet", "study.yaml"),
    ]
    for name in ("evaluations.parquet", f"{TABLE2}.md", f"{TABLE2}.parquet"):
        assert published[name] == (source / "tables" / name).read_bytes()
    with Image.open(to / f"demo/{FIGURE5}.png") as figure:
        assert (figure.mode, figure.size) == ("P", (256, 256))


def test_what_the_tables_rest_on_is_published_or_the_page_says_that_it_is_not(results, tmp_path):
    source, to = results(), tmp_path / "docs"
    publish(source, to)
    assert "Published before `sweep.parquet` and `history.parquet` were kept: what is said of\nsingle widths" in page(
        to
    )
    for name in ("sweep", "history"):
        write_table(source / f"tables/{name}.parquet", name, table(name, []), ORIGIN)
    publish(source, to)
    assert (to / "demo/sweep.parquet").read_bytes() == (source / "tables/sweep.parquet").read_bytes()
    assert "Published before" not in page(to)


def test_the_configuration_is_whole_but_for_the_folder_of_one_machine(results, tmp_path):
    publish(results(), tmp_path / "docs")
    path = tmp_path / "docs/demo/study.yaml"
    assert load_study(path) == parse_study(settings() | {"data_folder": None})
    assert yaml.safe_load(path.read_text())["train"]["momentum"] == 0.9


def test_provenance_has_dates_and_wall_times(results, tmp_path):
    publish(results(), tmp_path / "docs")
    origin = json.loads((tmp_path / "docs/demo/provenance.json").read_text())
    assert origin["train_time_s"] == {"jobs": 4, "sum": 240.0, "max": 60.0}
    assert origin["sweep_time_s"] == {"jobs": 4, "sum": 8.0, "max": 2.0}
    assert origin["recalibration_time_s"] == {"jobs": 0, "sum": 0.0, "max": 0.0}
    assert (origin["first_job"], origin["last_job"]) == ("2026-02-01T10:00:00+00:00", "2026-02-04T10:00:00+00:00")
    assert (origin["cpu"], origin["commit"], origin["missing"]) == ("A & B", "abc", [])
    assert "created" not in origin


def test_further_test_sets_and_metrics_are_no_further_evaluations(results, tmp_path):
    source, to = results(), tmp_path / "docs"
    publish(source, to)
    provenance, text = (to / "demo/provenance.json").read_bytes(), page(to)
    path = source / "tables/evaluations.parquet"
    first = read_table(path)
    others = [first.assign(test_set="other", score=1.0), first.assign(metric="error", score=0.1)]
    write_table(path, "evaluations", pd.concat([first, *others]), ORIGIN)
    publish(source, to)
    assert (to / "demo/provenance.json").read_bytes() == provenance
    assert page(to) == text


def test_individual_networks_are_evaluations_of_their_own(results, tmp_path):
    source = results()
    study = settings()
    study["exhibits"][TABLE2]["methods"] = [*AUCS, "i_net"]
    networks = [run for run in runs(parse_study(study)) if run.individual_width is not None]
    (source / "study.yaml").write_text(study_yaml(parse_study(study)))
    about = {"variant": "as_trained", "test_set": "test", "metric": "top1_pct"}
    more = {
        "runs": [cell(run) | TRAINED | {"individual_width": run.individual_width} for run in networks],
        "evaluations": [cell(run) | about | {"min_width_mult": run.individual_width} for run in networks],
    }
    assert len(networks) == 4 * 2
    for name, rows in more.items():
        path = source / f"tables/{name}.parquet"
        write_table(path, name, pd.concat([read_table(path), table(name, rows)]), ORIGIN)
    publish(source, tmp_path / "docs")
    assert json.loads((tmp_path / "docs/demo/provenance.json").read_text())["missing"] == []


def test_a_second_call_gives_the_same_bytes(results, tmp_path):
    source, to = results(), tmp_path / "docs"
    publish(source, to)
    first = page(to), contents(to)
    publish(source, to)
    assert (page(to), contents(to)) == first


def test_what_is_no_longer_made_goes_and_notes_stay(results, tmp_path):
    source, to, notes = results(), tmp_path / "docs", tmp_path / "text.md"
    notes.write_text("By *hand*.\n")
    publish(source, to, notes=notes)
    (to / "demo/any_width_networks.table1.md").write_text("old")
    (to / "demo/other.txt").write_text("not ours")
    (source / f"figures/{FIGURE5}_macs.png").unlink()
    publish(source, to, incomplete=True)
    names = set(contents(to / "demo"))
    assert {"notes.md", "other.txt"} <= names
    assert not {"any_width_networks.table1.md", f"{FIGURE5}_macs.png"} & names
    assert "### Notes\n\nBy *hand*.\n" in page(to)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "complete.json").unlink(), r"complete\.json is missing"),
        (
            lambda folder: (folder / f"figures/{FIGURE5}.png").unlink(),
            r"figures/any_width_networks\.figure5\.png is missing",
        ),
        (
            lambda folder: (folder / f"tables/{TABLE2}.parquet").unlink(),
            r"tables/any_width_networks\.table2\.parquet is missing",
        ),
        (
            lambda folder: change(folder, "runs", state="failed", error="ValueError:\nwhy"),
            r"training digits/lenet_3c1l/awn/0: failed: ValueError: why",
        ),
        (
            lambda folder: change(folder, "evaluations", seed=7),
            r"awn/0/as_trained: no result\n.*awn/7/as_trained: not in the configuration",
        ),
    ],
)
def test_an_incomplete_study_is_refused_or_says_what_it_lacks(results, tmp_path, damage, message):
    source, to = results(), tmp_path / "docs"
    damage(source)
    with pytest.raises(PublishError, match=rf"demo is incomplete \(--incomplete [^:]*:\n  .*{message}"):
        publish(source, to)
    assert not to.exists()
    publish(source, to, incomplete=True)
    assert "**This study is incomplete.** It lacks:\n\n- " in page(to)


@pytest.mark.parametrize("incomplete", [False, True])
@pytest.mark.parametrize("lost", ["study.yaml", "tables/runs.parquet", "tables/evaluations.parquet", "tables"])
def test_an_unfinished_study_is_refused(results, tmp_path, lost, incomplete):
    source = results()
    (source / "logs").mkdir()
    if lost == "tables":
        shutil.rmtree(source / lost)
    else:
        (source / lost).unlink()
    with pytest.raises(PublishError, match=r"results/demo is not finished: run the study until report\.html is there$"):
        publish(source, tmp_path / "docs", incomplete=incomplete)
    assert not (tmp_path / "docs").exists()


def test_other_folders_and_large_studies_are_refused(results, tmp_path, monkeypatch):
    with pytest.raises(PublishError, match=r"study\.yaml does not exist: name the results folder"):
        publish(tmp_path, tmp_path / "docs")
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(PublishError, match=r"more than 1,000 bytes to publish \(study\.yaml [\d,]+, "):
        publish(results(), tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_the_page_reads_every_study_in_the_order_of_names(results, tmp_path):
    to = tmp_path / "docs"
    publish(results("second"), to)
    publish(results("first", shift=-10), to)
    text = page(to)
    assert text.index("## first") < text.index("## second")
    assert "| Any-Width Networks (Vu, Eder, Price and Frahm, 2020) | 1 | 0 | 0 | 0 |" in text
    assert "| [second](#second) | A & B | 4 min | 1 | 0 | 0 | 0 |" in text
    assert "| [first](#first) | A & B | 4 min | 1 | 0 | 0 | 0 |" in text
    assert "two of them are told apart from 2.3 points on" in text
    assert "Fast & <small>." in text
    assert "- Software: torch 2.13.0, awnlib 0.1.0, commit abc with uncommitted changes." in text
    assert "sweeps 8 s in 4 jobs, the longest 2 s. Run on 2026-02-01 to 2026-02-04 (UTC)." in text
    near = "| awnlib | LeNet-3C1L, digits (paper: Fashion-MNIST) | AWN is within 1 point of the paper's AUC |"
    assert f"{near} **undecided** | AWN 91.00 ± 0.71 (paper 90.67, +0.33) |" in text
    assert f"{near} **does not hold** | AWN 81.00 ± 0.71 (paper 90.67, -9.67) |" in text
    assert "1 of 1 pairs as in the paper; best is\n  AWN (paper: AWN).\n" in text
    assert "| LeNet-3C1L, digits (paper: Fashion-MNIST) | 91.00 ± 0.71 (paper 90.67, +0.33) | 80.50" in text
    assert "\n### Model size\n" in text
    assert re.search(r"\| LeNet-3C1L, digits \| AWN \| .* \| 91\.00 \|\n", text)
    assert f"![Accuracy at every width](second/{FIGURE5}.png)\n\n**Accuracy at every width.** Test accuracy" in text
    assert "[any_width_networks.table2.parquet](first/any_width_networks.table2.parquet)" in text
    assert "### What differs from the setting of Any-Width Networks (Vu" in text
    assert "- 2 seeds instead of 1\n" in text
    assert text.count("### Checks and questions of our own") == 2
    assert "width transfer" not in text


def test_the_page_of_the_repository_is_up_to_date(repository, tmp_path):
    to = tmp_path / "results"
    shutil.copytree(repository / "docs/results", to)
    write_page(to)
    assert (to / "README.md").read_text() == (repository / "docs/results/README.md").read_text()


def test_from_the_command_line(results, tmp_path):
    source, to = results(), tmp_path / "docs"
    arguments = ["--to", str(to)]
    main([str(source), *arguments])
    text = (to / "README.md").read_text()
    assert (
        "- `dataset.source` mnist5k instead of fashion_mnist: LeNet-3C1L, digits (paper: Fashion-MNIST) (AWN, S-"
        in text
    )
    with pytest.raises(SystemExit, match=r"study\.yaml does not exist"):
        main([str(tmp_path), *arguments])


def test_departures_name_every_setting_that_has_an_effect_and_its_cells():
    ours = {
        "study": "short",
        "seeds": [0],
        "datasets": {"digits": {"source": "mnist5k", "train_size": 200}},
        "train": {"num_epochs": 1, "schedule": "linear", "weight_decay": 0.001},
        "overrides": [{"method": "awn", "train": {"lr": 0.1}, "widths": [1.0, 0.5]}],
        "recalibration": {"num_images": 64},
        "exhibits": {
            "any_width_networks.table2": {
                "panels": [{"model": "lenet_3c1l", "dataset": "digits", "paper_dataset": "mnist"}],
                "methods": ["awn", "us_net", "awn_all"],
            }
        },
    }
    panel = "LeNet-3C1L, digits (paper: MNIST)"
    assert departures(parse_study(ours), parse_study(PAPER)) == [
        f"1 epoch instead of 20: {panel} (AWN, US-Net)",
        f"`lr` 0.1 instead of 0.01: {panel} (AWN)",
        f"`schedule` linear instead of multistep: {panel} (AWN, US-Net)",
        f"`widths` [1.0, 0.5] instead of [1.0, 0.75, 0.5, 0.25]: {panel} (AWN)",
        f"`dataset.source` mnist5k instead of mnist: {panel} (AWN, US-Net)",
        f"`dataset.train_size` 200 instead of none: {panel} (AWN, US-Net)",
        f"`recalibration.num_images` 64 instead of 1024: {panel} (US-Net)",
        "not in the paper: LeNet-3C1L, digits (AWN-all)",
    ]


def test_departures_of_a_study_without_data_sets(repository):
    ours, paper = "configs/reinforcement_small.yaml", "awnlib/papers/us_nets/setting_reinforcement.yaml"
    found = departures(*(parse_study(read_yaml(repository / path)) for path in (ours, paper)))
    games = "`task.environment` MinAtar/Breakout-v1 instead of BreakoutNoFrameskip-v4"
    assert f"{games}: Nature CNN, breakout (I-Net, US-Net)" in found


def test_the_papers_own_setting_departs_in_nothing():
    assert departures(parse_study(PAPER), parse_study(PAPER)) == []
