"""Draw one of the paper's figures from the study's tables; the rule's name says which."""

from pathlib import Path

from awnlib.jobs.logs import log_to
from awnlib.papers.any_width_networks import figures
from awnlib.results.schemas import read_table
from awnlib.studies.widths.config import parse_study

log_to(snakemake.log[0])
study = parse_study(snakemake.config)
name = snakemake.rule
exhibit = study.figures[name.removesuffix("_macs")]
frames = [read_table(path) for path in snakemake.input]
figure = getattr(figures, name)(exhibit, study.resolved_methods(), *frames)
figures.save_figure(figure, Path(snakemake.output[0]).with_suffix(""))
