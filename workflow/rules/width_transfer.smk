# A width-transfer study: search widths in cheap configurations, carry them over, retrain, compare.


# These take seconds: no jobs for a cluster.
localrules:
    transfer_widths,
    collect_transfer,
    draw_transfer,
    report_transfer,


# One job for each search. Its resume points are no declared outputs, so that they survive a killed job.
rule search_widths:
    input:
        unpack(search_images),
    output:
        record="<results>/searches/{search}/record.json",
    log:
        "<results>/logs/search_widths/{search}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: lambda wildcards: 1 + search_readers(wildcards)
    resources:
        mem_mb=lambda wildcards: 4000 + 1000 * search_readers(wildcards),
        runtime=1440,
        gpu=int(ON_GPU),
    params:
        checkpoint=f"results/{STUDY.study}/checkpoints/searches/{{search}}.safetensors",
        settings=search_settings,
        images=lambda wildcards: contents_of(
            SEARCHES[wildcards.search].task.images, "training"
        ),
        code=lambda wildcards: job_code(
            "search_widths", model=SEARCHES[wildcards.search].task.model
        ),
    message:
        "searching {wildcards.search}"
    script:
        "../scripts/run_job.py"


# The widths of a search for the target: dimensions and MACs matched.
rule transfer_widths:
    input:
        unpack(target_images),
        searched=lambda wildcards: f"<results>/searches/{RETRAININGS[wildcards.cell].search.name}/record.json",
    output:
        record="<results>/transferred/{cell}/record.json",
    log:
        "<results>/logs/transfer_widths/{cell}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        tolerance=STUDY.transfer.macs_tolerance,
        stem=STUDY.transfer.stem,
        images=lambda wildcards: contents_of(
            RETRAININGS[wildcards.cell].target.images, "shape"
        ),
        code=lambda wildcards: job_code(
            "transfer_widths", model=RETRAININGS[wildcards.cell].target.model
        ),
    message:
        "transferring {wildcards.cell}"
    script:
        "../scripts/run_job.py"


# One job for each retraining from scratch, tested at its end.
rule train_transferred:
    input:
        unpack(target_images),
        transferred=transferred_of,
    output:
        record="<results>/retrained/{cell}/record.json",
    log:
        "<results>/logs/train_transferred/{cell}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: TRAIN.num_processes * (1 + TRAIN.num_workers)
    resources:
        mem_mb=TRAIN.num_processes * (4000 + 1000 * TRAIN.num_workers),
        runtime=1440,
        gpu=int(ON_GPU) * TRAIN.num_processes,
    params:
        checkpoint=f"results/{STUDY.study}/checkpoints/retrained/{{cell}}.safetensors",
        settings=retraining_settings,
        images=lambda wildcards: contents_of(
            RETRAININGS[wildcards.cell].target.images, "training", "test"
        ),
        tolerance=STUDY.transfer.macs_tolerance,
        code=lambda wildcards: job_code(
            "train_transferred", model=RETRAININGS[wildcards.cell].target.model
        ),
    message:
        "training {wildcards.cell}"
    script:
        "../scripts/run_job.py"


# All tables of the study, from the records of all jobs.
rule collect_transfer:
    input:
        searches=collect("<results>/searches/{search}/record.json", search=SEARCHES),
        retrainings=collect("<results>/retrained/{cell}/record.json", cell=RETRAININGS),
    output:
        collect(
            "<results>/tables/{name}.{suffix}",
            name=STUDY.tables,
            suffix=["parquet", "csv", "md"],
        ),
    log:
        "<results>/logs/collect_transfer.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        transfer=STUDY.transfer.model_dump(exclude={"train", "search"}),
        code=lambda wildcards: job_code("collect_transfer"),
    message:
        "collecting {STUDY.study}"
    script:
        "../scripts/collect_transfer.py"
