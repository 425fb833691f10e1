"""Collect the records of all jobs into the study's tables."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.studies.kinds import collect, parse_any_study

log_to(snakemake.log[0])
tables = Path(snakemake.output[0]).parent
collect(parse_any_study(snakemake.config), tables.parent, tables)
