"""Make one table of a paper from the study's tables; the wildcard says which."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.results.blocks import markdown
from awnlib.results.exhibits import renderer_of
from awnlib.results.schemas import read_provenance, read_table, write_table_files
from awnlib.studies.kinds import parse_any_study

log_to(snakemake.log[0])
name = snakemake.wildcards.exhibit
exhibit, renderer = parse_any_study(snakemake.config).exhibit(name), renderer_of(name)
frame = renderer.make(exhibit, {table: read_table(path) for table, path in snakemake.input.items()})
origin = read_provenance(snakemake.input[0])
stem = Path(snakemake.output[0]).with_suffix("")
write_table_files(stem, "exhibit", frame, origin, markdown(renderer.layout(exhibit, frame)))
