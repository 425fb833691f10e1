"""Read a data set from its source and keep it as one file."""

from awnlib.data.prepared import prepare
from awnlib.data.source_files import data_folder
from awnlib.jobs.logs import log_to
from awnlib.studies.widths.config import parse_study

log_to(snakemake.log[0])
study = parse_study(snakemake.config)
name = snakemake.wildcards.dataset
folder = data_folder(study.data_folder)
files = snakemake.output
prepare(name, study.datasets[name], folder, files.data, files.contents, asked=snakemake.params.files)
