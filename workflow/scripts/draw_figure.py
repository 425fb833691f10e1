"""Draw one figure of a paper from the study's tables; the wildcard says which."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.results.exhibits import renderer_of
from awnlib.results.schemas import read_table
from awnlib.results.style import save_figure
from awnlib.studies.kinds import parse_any_study

log_to(snakemake.log[0])
name = snakemake.wildcards.exhibit
tables = {table: read_table(path) for table, path in snakemake.input.items()}
figure = renderer_of(name).draw(parse_any_study(snakemake.config).exhibit(name), tables)
save_figure(figure, Path(snakemake.output[0]).with_suffix(""))
