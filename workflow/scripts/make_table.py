"""Make one of the paper's tables from the study's tables; the rule's name says which."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.papers.any_width_networks import tables
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.widths.config import parse_study

log_to(snakemake.log[0])
name = snakemake.rule
exhibit = parse_study(snakemake.config).tables[name]
frames = [read_table(path) for path in snakemake.input]
table = getattr(tables, f"make_{name}")(exhibit, *frames)
stem = Path(snakemake.output[0]).with_suffix("")
tables.write_exhibit_table(table, name, stem, read_provenance(snakemake.input[0]))
