"""The tables of a width-transfer study: from records to rows, and as readers see them."""

import copy
import json
from dataclasses import replace

import pandas as pd
import pytest

from awnlib.files import sha256
from awnlib.jobs.records import read_record, write_record
from awnlib.report.report import write_report
from awnlib.report.transfer import findings
from awnlib.results.columns import TABLES
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.shell import do_job
from awnlib.studies.transfer.collect import collect, retraining_record, search_record
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.studies.transfer.jobs import check_macs
from awnlib.studies.transfer.layout import datasets_rows, markdown, similarity_bounds, summarise_transfer
from awnlib.studies.transfer.stages import TrainTransferred, TransferWidths, jobs
from awnlib.width_transfer.vector import WidthVector
from tests.unit.width_transfer.transfer_tables import similarity_rows, transfer_rows, widths_rows

STUDY = {
    "study": "tiny",
    "seeds": [0, 1],
    "device": "cpu",
    "datasets": {"shapes": {"source": "mnist5k"}, "again": {"source": "mnist5k"}},
    "transfer": {
        "search": {"num_epochs": 1, "batch_size": 20},
        "optimizers": {"morphnet": {"settings": {"lr": 0.1}}},
        "train": {"num_epochs": 1, "batch_size": 20, "lr": 0.05},
        "macs_tolerance": 0.05,
        "axes": {
            "data": {"kind": "data", "model": "lenet_3c1l", "dataset": "shapes", "sources": [{"data_share": 0.5}]}
        },
        "comparisons": {
            "sets": {"model": "lenet_3c1l", "datasets": ["shapes", "again"], "configurations": [{"width_mult": 0.5}]}
        },
    },
}


def run_all(study, images, results):
    """Do every job of a study without the workflow, all with the same images."""
    for there in jobs(study).values():
        for job in there.values():
            do_job(job, results, data=images)


@pytest.fixture(scope="module")
def finished(shapes, tmp_path_factory):
    study, results = parse_transfer_study(copy.deepcopy(STUDY)), tmp_path_factory.mktemp("transfer")
    images = results / "data.safetensors"
    shapes.save(images)
    run_all(study, images, results)
    collect(study, results, results / "tables")
    return study, results


@pytest.fixture(scope="module")
def tables(finished):
    study, results = finished
    return {name: read_table(results / "tables" / f"{name}.parquet") for name in study.tables}


# --- from records ----------------------------------------------------------------------------------------------------


def test_all_tables_come_in_three_formats(finished, tables):
    _, results = finished
    assert set(tables) == {"transfer", "widths", "similarity", "datasets"}
    for name, table in tables.items():
        assert list(table.columns) == TABLES[name].names
        assert read_provenance(results / "tables" / f"{name}.parquet")["study"] == "tiny"
        assert list(pd.read_csv(results / "tables" / f"{name}.csv").columns) == list(table.columns)
        assert (results / "tables" / f"{name}.md").read_text().startswith("| ")


def test_a_row_for_every_axis_source_and_seed(tables):
    rows = tables["transfer"]
    assert set(rows["state"]) == {"ok"}
    axis = rows[rows["kind"] == "data"]
    assert list(zip(axis["optimizer"], axis["source_data_share"], axis["seed"], axis["is_direct"], strict=True)) == [
        ("uniform", 1.0, 0, False),
        ("morphnet", 1.0, 0, True),
        ("morphnet", 0.5, 0, False),
        ("uniform", 1.0, 1, False),
        ("morphnet", 1.0, 1, True),
        ("morphnet", 0.5, 1, False),
    ]
    assert len(rows[rows["kind"] == "comparison"]) == 2 * 2 * 2


def test_half_the_images_save_half_the_overhead(tables):
    """100 images are 5 batches of 20, 50 are 2: a search costs what its images cost."""
    rows = tables["transfer"].query("kind == 'data' and optimizer == 'morphnet'")
    assert rows["overhead_saved_pct"].tolist() == pytest.approx([0, 60, 0, 60])
    assert rows["overhead_factor"].tolist() == pytest.approx([1, 2.5, 1, 2.5])
    assert rows.loc[rows["is_direct"], "search_macs"].tolist() == pytest.approx(
        [3 * 100 * macs for macs in rows.loc[rows["is_direct"], "target_macs"]]
    )
    assert tables["transfer"].query("optimizer == 'uniform'")["search_macs"].isna().all()


def test_a_retraining_tells_its_last_training_accuracy_and_its_macs(finished, tables):
    """100 images are 5 batches of 20, each forward and with two gradients."""
    study, results = finished
    (cell, *_) = study.retrainings().values()
    history = read_table(retraining_record(results, cell).with_name("history.parquet"))
    row = tables["transfer"].iloc[0]
    assert row["train_top1_pct"] == history.query("metric == 'top1_pct'")["score"].iloc[-1]
    assert row["train_macs"] == 3 * 100 * row["macs"]


def test_a_search_tells_how_far_from_its_budget_it_ended(finished, tables):
    study, results = finished
    rows = tables["transfer"]
    assert rows.loc[rows["optimizer"] == "uniform", "found_macs_pct"].isna().all()
    row = rows[rows["is_direct"]].iloc[0]
    (search, *_) = study.searches().values()
    origin = json.loads(search_record(results, search).with_name("widths.json").read_text())["provenance"]
    assert row["found_macs_pct"] == pytest.approx(100 * origin["macs_before_matching"][0] / origin["budget_macs"])


def test_every_network_has_the_target_s_macs(tables):
    rows = tables["transfer"]
    assert ((rows["macs"] / rows["target_macs"] - 1).abs() < 0.05).all()
    uniform = rows[rows["optimizer"] == "uniform"]
    assert (uniform["macs"] == uniform["target_macs"]).all()


def test_records_say_what_was_measured(finished):
    study, results = finished
    (search, *_) = study.searches().values()
    record = read_record(search_record(results, search))
    ledger = json.loads(search_record(results, search).with_name("ledger.json").read_text())
    assert record.measured["search_macs"] == ledger["total"] > 0
    assert set(record.files) == {"ledger.json", "width_search.parquet", "widths.json"}
    (cell, *_) = study.retrainings().values()
    record = read_record(retraining_record(results, cell))
    assert set(record.files) == {"history.parquet", "model.safetensors", "widths.json"}


def test_widths_and_similarity(tables):
    widths = tables["widths"]
    uniform = widths[widths["optimizer"] == "uniform"]
    assert (uniform["multiplier"] == 1).all()
    assert set(widths["channels"]) == {"conv1", "conv2", "conv3"}
    similarity = tables["similarity"]
    assert similarity["cosine"].between(0, 1).all()
    # 4 networks of morphnet on the data axis, 4 of the comparison; each with uniform, and every pair once.
    assert similarity["relation"].value_counts().to_dict() == {"vectors": 28 - 4, "uniform": 8, "seeds": 4}


def test_a_data_set_against_itself_finds_the_same_widths(tables):
    """`again` has the images of `shapes`: equal seeds search equal networks."""
    rows = tables["datasets"]
    assert rows[["dataset", "other_dataset"]].to_numpy().tolist() == [["shapes", "again"], ["again", "shapes"]]
    assert rows["cosine_datasets"].tolist() == pytest.approx([1, 1])
    assert rows["num_seeds"].tolist() == [2, 2]
    transfer = tables["transfer"].query("kind == 'comparison' and dataset == 'again'")
    for row, column in (("uniform", "uniform_top1_pct"), ("morphnet", "optimized_top1_pct")):
        mean = transfer.loc[transfer["optimizer"] == row, "test_top1_pct"].mean()
        assert rows.loc[rows["dataset"] == "again", column].item() == pytest.approx(mean)
    assert len(datasets_rows(rows)) == 2


def test_a_lost_retraining_is_a_row_that_says_why(finished, tmp_path):
    study, results = finished
    cell = study.retrainings()["lenet_3c1l/shapes/w1-d1-s1/w1-d1-s0.5/morphnet/none/seed1"]
    path = retraining_record(results, cell)
    kept = read_record(path)
    write_record(path, replace(kept, state="failed", error="out of memory", measured={}, files={}))
    try:
        collect(study, results, tmp_path)
    finally:
        write_record(path, kept)
    rows = read_table(tmp_path / "transfer.parquet")
    (lost,) = rows[rows["state"] != "ok"].to_dict("records")
    assert (lost["error"], lost["seed"], lost["source_data_share"]) == ("out of memory", 1, 0.5)
    assert pd.isna(lost["test_top1_pct"])
    assert "†" in (tmp_path / "transfer.md").read_text()
    widths = read_table(tmp_path / "widths.parquet")
    assert widths.query("seed == 1 and source == 'w1-d1-s0.5'").empty


def test_macs_that_do_not_match_are_refused_with_the_numbers(finished, tmp_path):
    study, results = finished
    settings = study.model_dump()
    settings["transfer"]["macs_tolerance"] = 1e-9
    strict = parse_transfer_study(settings)
    cell = next(cell for cell in strict.retrainings().values() if cell.search is not None)
    transfer, training = TransferWidths(strict, cell), TrainTransferred(strict, cell)
    searched, images = tmp_path / transfer.needs["searched"].record, results / "data.safetensors"
    found = WidthVector.load(search_record(results, cell.search).with_name("widths.json"))
    uneven = dict(zip(found.multipliers, (0.71, 1.13, 0.9), strict=True))
    WidthVector(network=found.network, multipliers=uneven).save(searched.with_name("widths.json"))
    files = {"widths.json": sha256(searched.with_name("widths.json"))}
    write_record(searched, replace(read_record(search_record(results, cell.search)), files=files))
    record = do_job(transfer, tmp_path, data=images)
    assert record.state == "failed"
    assert "at most 1e-07 % are allowed" in str(record.error)
    assert do_job(training, tmp_path, data=images).state == "skipped"


def test_the_check_before_training_names_both_numbers():
    check_macs(991, 1000, 0.01)
    with pytest.raises(ValueError, match=r"has 980 MACs, -2.00 % from the target's 1,000; at most 1 % are allowed"):
        check_macs(980, 1000, 0.01)


# --- for readers -----------------------------------------------------------------------------------------------------


def test_summary_over_seeds():
    rows = summarise_transfer(transfer_rows()).set_index(["optimizer", "source"])
    half = rows.loc[("dmcp", "w0.5-d1-s1")]
    assert half[["top1_pct", "std_pct", "gain_pct", "overhead_saved_pct", "macs_error_pct"]].tolist() == pytest.approx(
        [75.0, 8**0.5, 4.0, 75.0, -1.0]
    )
    assert rows["num_seeds"].tolist() == [2, 2, 2, 2]
    assert rows.loc[("uniform", "w1-d1-s1"), "gain_pct"] == 0


def test_floor_and_ceiling_of_the_similarity():
    (bounds,) = similarity_bounds(similarity_rows()).to_dict("records")
    assert bounds["uniform"] == pytest.approx((0.8 + 0.9 + 0.7 + 0.7) / 4)
    assert bounds["seeds"] == pytest.approx(0.98)
    assert bounds["vectors"] == pytest.approx((0.96 + 0.94 + 0.1) / 3)


def test_data_sets_have_a_floor_each():
    here, between = similarity_rows(), similarity_rows().tail(1)
    there = here.assign(one_dataset="cifar100", other_dataset="cifar100", cosine=here["cosine"] - 0.5)
    both = pd.concat([here, there, between.assign(other_dataset="cifar100", cosine=0.0)])
    first, second = similarity_bounds(both).drop(columns="null").to_dict("records")
    assert (first["dataset"], second["dataset"]) == ("mnist5k", "cifar100")
    assert first == similarity_bounds(here).drop(columns="null").to_dict("records")[0]
    assert second["vectors"] == pytest.approx(first["vectors"] - 0.5)


def test_markdown_has_the_numbers():
    text = markdown("transfer", transfer_rows())
    (line,) = [line for line in text.splitlines() if "DMCP, 0.5x wide" in line]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[4:8] == ["75.00 ± 2.83", "+4.00", "75.0", "4.0"]
    assert "| stage2" in markdown("widths", widths_rows())
    assert "0.980" in markdown("similarity", similarity_rows())


def test_findings_compare_with_uniform_and_direct():
    assert findings(transfer_rows())[0] == (
        "width (ResNet18, MNIST-5k), DMCP: direct +4.00 points over uniform; from 0.5x wide, 1x deep +4.00, 4.0 times "
        "cheaper."
    )
    assert findings(transfer_rows().iloc[:0]) == []


def test_the_report_holds_everything(finished, tables, tmp_path):
    study, _ = finished
    picture = tmp_path / "figure5.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page = tmp_path / "report.html"
    figures = {"width_transfer.figure5": picture}
    write_report(page, study=study, tables=tables, figures=figures, provenance={"torch": "2"}, files=[picture])
    text = page.read_text()
    for words in ("Study tiny", "Width transfer", "From smaller images and from fewer", "2.5 times",
                  "One data set against another",
                  "Every search and retraining succeeded.", "macs_tolerance", 'href="figure5.svg"'):  # fmt: skip
        assert words in text
