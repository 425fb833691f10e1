"""Read a data set of a width-transfer study in one resolution and keep it as one file."""

from awnlib.data.prepared import prepare
from awnlib.data.source_files import data_folder
from awnlib.jobs.logs import log_to
from awnlib.studies.transfer.config import parse_transfer_study

log_to(snakemake.log[0])
study = parse_transfer_study(snakemake.config)
name = snakemake.wildcards.images
folder = data_folder(study.data_folder)
files = snakemake.output
prepare(name, study.images()[name], folder, files.data, files.contents, asked=snakemake.params.files)
