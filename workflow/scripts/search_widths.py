"""Search the widths of one training configuration."""

from pathlib import Path

import torch

from awnlib.logs import log_to
from awnlib.memory import keep_freed_memory
from awnlib.width_transfer.stages import search_widths
from awnlib.width_transfer.study import parse_transfer_study

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
