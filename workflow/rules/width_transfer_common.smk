# The width-transfer study, checked before any job starts, and what its rules ask of it.
from awnlib.studies.widths.config import ConfigError
from awnlib.jobs.hardware import check_gpus, wants_gpu, warn_of_slow_bfloat16
from awnlib.jobs.code import job_code
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.width_transfer.options import parse_settings

try:
    STUDY = parse_transfer_study(config, origin=ORIGIN)
    check_gpus(
        "train_transferred",
        asked_resource("train_transferred", "gpu"),
        STUDY.transfer.train.num_processes,
    )
    if workflow.is_main_process:  # not again in every job: it builds all networks
        from awnlib.studies.transfer.checks import check_networks

        warn_of_slow_bfloat16(STUDY.precisions(), STUDY.device)
        check_networks(STUDY, origin=ORIGIN)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

IMAGES = STUDY.images()
TRAIN = STUDY.transfer.train
SEARCHES = STUDY.searches()
RETRAININGS = STUDY.retrainings()
TRANSFERS = [name for name, cell in RETRAININGS.items() if cell.search is not None]
# What the report reads, and what decides whether the study is complete.
REPORTED = STUDY.tables
RECORDS = [
    *(f"searches/{name}" for name in SEARCHES),
    *(f"transferred/{name}" for name in TRANSFERS),
    *(f"retrained/{name}" for name in RETRAININGS),
]
# One share of a GPU for each job that computes; the profile says how many jobs share the device.
ON_GPU = wants_gpu(STUDY.device)


pathvars:
    results=f"results/{STUDY.study}",


wildcard_constraints:
    search=r"[^/]+/[^/]+/[^/]+/[^/]+/seed\d+",
    cell=r"[^/]+/[^/]+/[^/]+/.+/seed\d+",
    dataset=r"[^/]+",


def search_images(wildcards):
    """The prepared images of a search."""
    return prepared(SEARCHES[wildcards.search].task.images)


def target_images(wildcards):
    """The prepared images of a retraining."""
    return prepared(RETRAININGS[wildcards.cell].target.images)


def transferred_of(wildcards):
    """The record of the widths that a retraining uses; none for uniform ones."""
    if RETRAININGS[wildcards.cell].search is None:
        return []
    return f"<results>/transferred/{wildcards.cell}/record.json"


def search_settings(wildcards):
    """What a search depends on, in a fixed order: a change here searches again."""
    optimizer, settings = STUDY.search_settings(SEARCHES[wildcards.search])
    chosen = parse_settings(optimizer, settings).chosen(
        {"num_workers"}
    )  # not who reads
    return {
        "optimizer": optimizer,
        "stem": STUDY.transfer.stem,
        **{key: chosen[key] for key in sorted(chosen)},
    }


def search_readers(wildcards):
    """How many processes read images for a search."""
    _, settings = STUDY.search_settings(SEARCHES[wildcards.search])
    return settings.get("num_workers", 0)


def retraining_settings(wildcards):
    """What a retraining depends on, besides its widths: a change here trains it again."""
    return STUDY.run_config(RETRAININGS[wildcards.cell]).training_settings()
