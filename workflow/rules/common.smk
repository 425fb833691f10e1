# The study, checked before any job starts, and what the rules ask of it.
from awnlib.results.columns import COLLECTED
from awnlib.studies.widths.config import ConfigError, parse_study
from awnlib.jobs.hardware import check_gpus, wants_gpu, warn_of_slow_bfloat16
from awnlib.jobs.code import job_code
from awnlib.studies.widths.cells import evaluations, runs
from awnlib.results.variants import AS_TRAINED

try:
    STUDY = parse_study(config, origin=ORIGIN)
    RUNS = {run.name: run for run in runs(STUDY)}
    check_gpus(
        "train_model",
        asked_resource("train_model", "gpu"),
        max(run.train.num_processes for run in RUNS.values()),
    )
    if workflow.is_main_process:  # not again in every job
        warn_of_slow_bfloat16(
            [run.train.precision for run in RUNS.values()], STUDY.device
        )
        if STUDY.asks_of_networks:  # not for studies that do without: it imports torch
            from awnlib.studies.widths.checks import check_networks

            check_networks(STUDY, origin=ORIGIN)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

IMAGES = STUDY.images()
EVALUATIONS = {evaluation.name: evaluation for evaluation in evaluations(RUNS.values())}
RECALIBRATED = [
    name for name, evaluation in EVALUATIONS.items() if evaluation.variant != AS_TRAINED
]
# One share of a GPU for each job that computes; the profile says how many jobs share the device.
ON_GPU = wants_gpu(STUDY.device)
# What the report reads, and what decides whether the study is complete.
REPORTED = [*COLLECTED, *STUDY.tables]
RECORDS = [
    *(f"runs/{name}" for name in RUNS),
    *(f"recalibrated/{name}" for name in RECALIBRATED),
    *(f"sweeps/{name}" for name in EVALUATIONS),
]


pathvars:
    results=f"results/{STUDY.study}",


wildcard_constraints:
    run=r"[^/]+/[^/]+/[^/]+/seed\d+",
    variant=r"as_trained|recal\d+",
    dataset=r"[^/]+",


def run_settings(wildcards):
    """What a training run depends on: a change here trains it again."""
    return RUNS[wildcards.run].training_settings()


def train_processes(wildcards):
    """How many processes share the batches of a training run."""
    return RUNS[wildcards.run].train.num_processes


def train_threads(wildcards):
    """One thread for each process of a training run, and one for each that reads images for it."""
    return train_processes(wildcards) * (1 + read_processes(wildcards))


def train_memory(wildcards):
    """MB for each process of a training run, and for each that reads images for it."""
    return train_processes(wildcards) * (3000 + 1000 * read_processes(wildcards))


def read_processes(wildcards):
    """How many processes read images for each that computes, in any job of a run."""
    return RUNS[wildcards.run].train.num_workers


def images_of(wildcards):
    """The prepared images of a run's data set."""
    return prepared(RUNS[wildcards.run].dataset)


def run_images(part):
    """Return a function that gives the digest of a part of a run's images."""
    return lambda wildcards: contents_of(RUNS[wildcards.run].dataset, part)


def trained_of(wildcards):
    """The record of the model that an evaluation sweeps: recalibrated, or as it was trained."""
    folder = (
        "runs/{run}"
        if wildcards.variant == "as_trained"
        else "recalibrated/{run}/{variant}"
    )
    return f"<results>/{folder}/record.json".format(**wildcards)


def train_code(wildcards):
    """The code that a training run depends on."""
    return job_code("train_model", model=RUNS[wildcards.run].model)
