"""A study from its file to the published page, without the workflow: `python -m tests.follow study.yaml`.

Leaves what the workflow would, below `results/<study>/`, and publishes it to `published/`.
"""

import sys
from pathlib import Path

import torch

from awnlib.data.prepared import prepare
from awnlib.jobs.verdict import check_study
from awnlib.report.publish import publish
from awnlib.report.results_page import write_page
from awnlib.results.blocks import markdown
from awnlib.results.exhibits import renderer_of
from awnlib.results.schemas import read_provenance, read_table, write_table_files
from awnlib.results.style import save_figure
from awnlib.studies.base import study_yaml
from awnlib.studies.kinds import collect, load_any_study, study_jobs
from tests.conftest import finish


def follow(study):
    """Do every job of a study, collect, show its tables and figures, and publish it."""
    results = Path("results", study.study)
    for name, config in study.images().items():
        stem = results / "data" / name
        prepare(name, config, Path("nowhere"), f"{stem}.safetensors", f"{stem}.json", asked=None)
    finish(study, None, results)
    records = [results / job.record for there in study_jobs(study).values() for job in there.values()]
    check_study(records, results / "complete.json", checkpoints=results / "checkpoints")
    collect(study, results, results / "tables")
    for name in study.shown:
        show(study.exhibit(name), results)
    (results / "study.yaml").write_text(study_yaml(study), encoding="utf-8")
    publish(results, Path("published"))
    write_page(Path("published"))


def show(exhibit, results):
    """Make a table or draw a figure from the study's tables."""
    renderer = renderer_of(exhibit.name)
    paths = [results / f"tables/{table}.parquet" for table in renderer.NEEDS]
    tables = {path.stem: read_table(path) for path in paths}
    if hasattr(renderer, "draw"):
        save_figure(renderer.draw(exhibit, tables), results / "figures" / exhibit.name)
        return
    frame = renderer.make(exhibit, tables)
    text = markdown(renderer.layout(exhibit, frame))
    write_table_files(results / "tables" / exhibit.name, "exhibit", frame, read_provenance(paths[0]), text)


if __name__ == "__main__":
    torch.set_num_threads(1)
    follow(load_any_study(Path(sys.argv[1])))
