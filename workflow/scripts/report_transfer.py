"""Write the report of a width-transfer study, and its whole configuration."""

from pathlib import Path

from awnlib.base_study import study_yaml
from awnlib.logs import log_to
from awnlib.schemas import read_provenance, read_table
from awnlib.width_transfer.report import write_transfer_report
from awnlib.width_transfer.study import parse_transfer_study

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
