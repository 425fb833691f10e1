"""Recalibrate the BN statistics of a trained run."""

from pathlib import Path

import torch

from awnlib.jobs.logs import log_to
from awnlib.jobs.memory import keep_freed_memory
from awnlib.studies.widths.cells import find_evaluation
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.jobs import recalibrate_model

log_to(snakemake.log[0])
keep_freed_memory()
study = parse_study(snakemake.config)
evaluation = find_evaluation(study, f"{snakemake.wildcards.run}/{snakemake.wildcards.variant}")
torch.set_num_threads(max(snakemake.threads // (1 + evaluation.run.train.num_workers), 1))
recalibrate_model(
    evaluation,
    study.recalibration,
    Path(snakemake.input.data),
    Path(snakemake.input.trained),
    Path(snakemake.output.record),
    device=study.device,
    study=study.study,
)
