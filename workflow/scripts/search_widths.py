"""Search the widths of one training configuration."""

from pathlib import Path

import torch

from awnlib.jobs.logs import log_to
from awnlib.jobs.memory import keep_freed_memory
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.studies.transfer.jobs import search_widths

log_to(snakemake.log[0])
keep_freed_memory()
study = parse_transfer_study(snakemake.config)
search = study.searches()[snakemake.wildcards.search]
_, settings = study.search_settings(search)
torch.set_num_threads(max(snakemake.threads // (1 + settings.get("num_workers", 0)), 1))
search_widths(
    study,
    search,
    Path(snakemake.input.data),
    Path(snakemake.output.record),
    checkpoint=Path(snakemake.params.checkpoint),
)
