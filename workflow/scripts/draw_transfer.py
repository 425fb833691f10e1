"""Draw one figure of a width-transfer study from its tables; the wildcard says which."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.papers.width_transfer.figures import draw
from awnlib.results.schemas import read_table
from awnlib.results.style import save_figure

log_to(snakemake.log[0])
frames = {name: read_table(path) for name, path in snakemake.input.items()}
save_figure(draw(snakemake.wildcards.figure, **frames), Path(snakemake.output[0]).with_suffix(""))
