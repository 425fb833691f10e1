"""Read a data set from its source and keep it as one file."""

from awnlib.data.prepared import prepare
from awnlib.data.source_files import data_folder
from awnlib.jobs.logs import log_to
from awnlib.studies.kinds import parse_any_study

log_to(snakemake.log[0])
study = parse_any_study(snakemake.config)
name = snakemake.wildcards.dataset
folder = data_folder(study.data_folder)
files = snakemake.output
prepare(name, study.images()[name], folder, files.data, files.contents, asked=snakemake.params.files)
