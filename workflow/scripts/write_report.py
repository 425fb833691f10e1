"""Write the report of the study, and its whole configuration."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.report.parts import part_of
from awnlib.report.report import write_report
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.base import study_yaml
from awnlib.studies.kinds import parse_any_study

log_to(snakemake.log[0])
study = parse_any_study(snakemake.config)
collected = part_of(study).COLLECTED
paths = {Path(path).stem: Path(path) for path in snakemake.input.tables}
write_report(
    snakemake.output.page,
    study=study,
    tables={name: read_table(paths[name]) for name in [*collected, *study.tables]},
    figures={Path(path).stem: Path(path) for path in snakemake.input.figures},
    provenance=read_provenance(paths[collected[0]]),
    files=map(Path, [*snakemake.input.tables, *snakemake.input.pictures]),
)
Path(snakemake.output.study).write_text(study_yaml(study), encoding="utf-8")
