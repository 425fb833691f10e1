"""Collect the records of all jobs into the study's tables."""

from awnlib.jobs.logs import log_to
from awnlib.studies.kinds import collect, parse_any_study

log_to(snakemake.log[0])
study = parse_any_study(snakemake.config)
collect(study, study.results, study.results / "tables")
