"""Train one run of the study."""

from pathlib import Path

import torch

from awnlib.config import parse_study
from awnlib.logs import log_to
from awnlib.memory import keep_freed_memory
from awnlib.stages import train_model
from awnlib.study import find_run

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
