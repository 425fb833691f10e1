"""Train a network of optimised or uniform widths from scratch, and test it."""

from pathlib import Path

import torch

from awnlib.jobs.logs import log_to
from awnlib.jobs.memory import keep_freed_memory
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.studies.transfer.jobs import train_transferred

log_to(snakemake.log[0])
keep_freed_memory()
study = parse_transfer_study(snakemake.config)
torch.set_num_threads(max(snakemake.threads // (1 + study.transfer.train.num_workers), 1))
train_transferred(
    study,
    study.retrainings()[snakemake.wildcards.cell],
    Path(snakemake.input.data),
    Path(snakemake.input.transferred) if snakemake.input.transferred else None,
    Path(snakemake.output.record),
    checkpoint=Path(snakemake.params.checkpoint),
)
