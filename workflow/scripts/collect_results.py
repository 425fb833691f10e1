"""Collect the records of all jobs into the study's tables."""

from pathlib import Path

from awnlib.collect import collect
from awnlib.config import parse_study
from awnlib.logs import log_to

log_to(snakemake.log[0])
tables = Path(snakemake.output[0]).parent
collect(parse_study(snakemake.config), tables.parent, tables)
