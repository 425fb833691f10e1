# The study, checked before any job starts, and what the rules ask of it.
from awnlib.jobs.code import job_code
from awnlib.jobs.hardware import check_gpus, warn_of_slow_bfloat16
from awnlib.settings import ConfigError
from awnlib.studies.kinds import check_networks, parse_any_study, study_jobs

try:
    STUDY = parse_any_study(config, origin=ORIGIN)
    JOBS = study_jobs(STUDY)
    for stage, jobs in JOBS.items():
        processes = max((job.num_processes for job in jobs.values()), default=0)
        check_gpus(stage, asked_resource(stage, "gpu"), processes)
    if workflow.is_main_process:  # not again in every job
        warn_of_slow_bfloat16(STUDY.precisions(), STUDY.device)
        if STUDY.asks_of_networks:  # not for studies that do without: it imports torch
            check_networks(STUDY, origin=ORIGIN)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

IMAGES = STUDY.images()


pathvars:
    results=str(STUDY.results),


wildcard_constraints:
    dataset=r"[^/]+",
