# What the rules of long jobs take from the declaration of their stage (awnlib.studies.job): of each job, which the
# wildcard `job` names, or of all of them.


def record(stage):
    """The record of a stage's jobs."""
    return f"<results>/{stage.record_of('{job}')}"


def log_file(stage):
    """The log of a stage's jobs."""
    return f"<results>/logs/{stage.stage}/{{job}}.log"


def doing(stage):
    """What is said when a stage's job starts."""
    return f"{stage.doing} {{wildcards.job}}"


def declared(stage, key):
    """Return a function that gives what a job declares under a name."""
    return lambda wildcards: getattr(named(stage, wildcards), key)


def inputs(stage):
    """Return a function that gives a job's prepared images and the records that it builds on."""

    def files(wildcards):
        job = named(stage, wildcards)
        needs = {role: f"<results>/{need.record}" for role, need in job.needs.items()}
        return {**(prepared(job.images) if job.images else {}), **needs}

    return files


def contents(stage):
    """Return a function that gives the digests of those images that decide a job's result."""

    def digests(wildcards):
        job = named(stage, wildcards)
        return contents_of(job.images, *job.parts) if job.images else []

    return digests


def named(stage, wildcards):
    """The job that a wildcard names."""
    return find(JOBS[stage.stage], wildcards.job, stage.stage)


def records():
    """The records of all jobs of the study."""
    return [
        f"<results>/{job.record}" for there in JOBS.values() for job in there.values()
    ]
