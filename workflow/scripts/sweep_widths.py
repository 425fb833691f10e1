"""Sweep all widths of a trained or recalibrated run."""

from pathlib import Path

import torch

from awnlib.config import parse_study
from awnlib.logs import log_to
from awnlib.memory import keep_freed_memory
from awnlib.stages import sweep_model
from awnlib.study import find_evaluation

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
keep_freed_memory()
study = parse_study(snakemake.config)
sweep_model(
    find_evaluation(study, f"{snakemake.wildcards.run}/{snakemake.wildcards.variant}"),
    study.sweep,
    Path(snakemake.input.data),
    Path(snakemake.input.trained),
    Path(snakemake.output.record),
    device=study.device,
    study=study.study,
)
