"""Write the report of a width-transfer study, and its whole configuration."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.report.transfer_report import write_transfer_report
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.base import study_yaml
from awnlib.studies.transfer.config import parse_transfer_study

log_to(snakemake.log[0])
study = parse_transfer_study(snakemake.config)
tables = {Path(path).stem: Path(path) for path in snakemake.input.tables}
write_transfer_report(
    snakemake.output.page,
    study=study,
    tables={name: read_table(path) for name, path in tables.items()},
    figures={Path(path).stem: Path(path) for path in snakemake.input.figures},
    provenance=read_provenance(tables["transfer"]),
    files=tables.values(),
)
Path(snakemake.output.study).write_text(study_yaml(study), encoding="utf-8")
