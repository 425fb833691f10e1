"""configs/super_resolution_ci.yaml on a few images, from the files to the report; then one more test set."""

import pytest
import yaml

from awnlib.data.bicubic import to_image
from awnlib.jobs.records import read_record
from awnlib.results.schemas import read_table
from tests.conftest import six_photographs

EXHIBITS = ("figure4_scores", "figure4_gains", "figure4_pairs")


def write_images(folder, pairs):
    folder.mkdir(parents=True)
    for pair in pairs:
        to_image(pair.high).save(folder / f"{pair.name}.png")


@pytest.mark.slow
def test_a_study_of_images_and_one_more_test_set(workflow, repository):
    study = yaml.safe_load((repository / "configs/super_resolution_ci.yaml").read_text())
    study["task_settings"]["crops"] = {"some/p4": [10, 20, 24]}
    study["exhibits"]["us_nets.figure4"]["methods"] = ["i_net", "us_net", "any_width"]
    data, folder = six_photographs(), workflow.folder / "data/photographs"
    write_images(folder / "train", data.train)
    write_images(folder / "test", data.tests["some"])
    workflow.configure(study)
    code, output = workflow.call()
    assert code == 0, output
    results = workflow.results("super_resolution_ci")
    images, sweep = (read_table(results / f"tables/{name}.parquet") for name in ("images", "sweep"))
    assert set(images["image"]) == {"p4", "p5"}
    assert set(images.loc[images["picture"].notna(), "image"]) == {"p4"}
    assert set(images["method"]) == set(sweep["method"]) == {"i_net", "us_net", "any_width"}
    for keys, scores in images.groupby(["method", "width_mult", "metric"])["score"]:
        same = sweep
        for name, value in zip(("method", "width_mult", "metric"), keys, strict=True):
            same = same[same[name] == value]
        assert scores.mean() == pytest.approx(same["score"].item(), rel=1e-6)
    report = (results / "report.html").read_text()
    assert "AUC, dB" in report
    assert all(f"us_nets.{name}.parquet" in report for name in EXHIBITS)
    assert "PSNR (dB)" in (results / "figures/us_nets.figure4.svg").read_text()
    assert (results / "figures/us_nets.figure4_crops.png").stat().st_size > 10_000

    write_images(folder / "more", data.tests["some"])
    study["datasets"]["photographs"]["test_paths"]["more"] = "photographs/more"
    workflow.configure(study)
    trained = {path: path.stat().st_mtime_ns for path in results.glob("runs/**/record.json")}
    code, output = workflow.call()
    assert code == 0, output
    assert set(read_table(results / "tables/sweep.parquet")["test_set"]) == {"some", "more"}
    assert {path: path.stat().st_mtime_ns for path in results.glob("runs/**/record.json")} == trained
    assert all(read_record(path).state == "ok" for path in trained)
