"""Read a data set of a width-transfer study in one resolution and keep it as one file."""

from awnlib.data import data_folder, prepare_dataset
from awnlib.logs import log_to
from awnlib.width_transfer.study import parse_transfer_study

log_to(snakemake.log[0])
study = parse_transfer_study(snakemake.config)
name = snakemake.wildcards.images
data = prepare_dataset(name, study.images()[name], data_folder(study.data_folder))
data.save(snakemake.output[0])
