"""Read a data set from its source and keep it as one file."""

from awnlib.config import parse_study
from awnlib.data import data_folder, prepare_dataset
from awnlib.logs import log_to

log_to(snakemake.log[0])
study = parse_study(snakemake.config)
name = snakemake.wildcards.dataset
data = prepare_dataset(name, study.datasets[name], data_folder(study.data_folder))
data.save(snakemake.output[0])
