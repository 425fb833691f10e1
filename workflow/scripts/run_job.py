"""Do one job of a study: the rule's name says of which stage, the wildcard of which cell."""

import torch

from awnlib.jobs.logs import log_to
from awnlib.jobs.memory import keep_freed_memory
from awnlib.studies.job import find_job
from awnlib.studies.kinds import parse_any_study, study_jobs
from awnlib.studies.shell import do_job

log_to(snakemake.log[0])
keep_freed_memory()
study = parse_any_study(snakemake.config)
job = find_job(study_jobs(study), snakemake.rule, snakemake.wildcards.job)
torch.set_num_threads(max(snakemake.threads // (1 + job.num_readers), 1))
do_job(job, study.results)
