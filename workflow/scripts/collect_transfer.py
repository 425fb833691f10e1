"""Collect the records of all jobs into the tables of a width-transfer study."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.studies.transfer.collect import collect_transfer
from awnlib.studies.transfer.config import parse_transfer_study

log_to(snakemake.log[0])
tables = Path(snakemake.output[0]).parent
collect_transfer(parse_transfer_study(snakemake.config), tables.parent, tables)
