"""Draw one figure of a width-transfer study from its tables; the wildcard says which."""

from pathlib import Path

from awnlib.figures.style import save_figure
from awnlib.logs import log_to
from awnlib.schemas import read_table
from awnlib.width_transfer.figures import draw

log_to(snakemake.log[0])
frames = {name: read_table(path) for name, path in snakemake.input.items()}
save_figure(draw(snakemake.wildcards.figure, **frames), Path(snakemake.output[0]).with_suffix(""))
