"""Carry the widths of one search over to the target."""

from pathlib import Path

import torch

from awnlib.jobs.logs import log_to
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.studies.transfer.jobs import transfer_widths

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
study = parse_transfer_study(snakemake.config)
transfer_widths(
    study,
    study.retrainings()[snakemake.wildcards.cell],
    Path(snakemake.input.data),
    Path(snakemake.input.searched),
    Path(snakemake.output.record),
)
