# One job for each evaluation: a whole dense width sweep, after recalibration where the method needs it.


rule recalibrate_bn:
    input:
        unpack(images_of),
        trained="<results>/runs/{run}/record.json",
    output:
        record="<results>/recalibrated/{run}/{variant}/record.json",
    log:
        "<results>/logs/recalibrate_bn/{run}/{variant}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: lambda wildcards: 1 + read_processes(wildcards)
    resources:
        mem_mb=lambda wildcards: 3000 + 1000 * read_processes(wildcards),
        runtime=60,
        gpu=int(ON_GPU),
    params:
        settings=STUDY.recalibration.chosen(),
        images=run_images("training"),
        code=lambda wildcards: job_code("recalibrate_bn"),
    message:
        "recalibrating {wildcards.run} ({wildcards.variant})"
    script:
        "../scripts/run_job.py"


rule sweep_widths:
    input:
        unpack(images_of),
        trained=trained_of,
    output:
        record="<results>/sweeps/{run}/{variant}/record.json",
    log:
        "<results>/logs/sweep_widths/{run}/{variant}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: lambda wildcards: 1 + read_processes(wildcards)
    resources:
        mem_mb=lambda wildcards: 3000 + 1000 * read_processes(wildcards),
        runtime=60,
        gpu=int(ON_GPU),
    params:
        settings=STUDY.sweep.chosen({"batch_size"}),
        images=run_images("test"),
        code=lambda wildcards: job_code("sweep_widths"),
    message:
        "sweeping {wildcards.run} ({wildcards.variant})"
    script:
        "../scripts/run_job.py"
