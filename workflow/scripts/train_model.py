"""Train one run of the study."""

from pathlib import Path

import torch

from awnlib.jobs.logs import log_to
from awnlib.jobs.memory import keep_freed_memory
from awnlib.studies.widths.cells import find_run
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.jobs import train_model

log_to(snakemake.log[0])
keep_freed_memory()
study = parse_study(snakemake.config)
run = find_run(study, snakemake.wildcards.run)
torch.set_num_threads(max(snakemake.threads // (1 + run.train.num_workers), 1))
train_model(
    run,
    Path(snakemake.input.data),
    Path(snakemake.output.record),
    device=study.device,
    checkpoint=Path(snakemake.params.checkpoint),
    study=study.study,
)
