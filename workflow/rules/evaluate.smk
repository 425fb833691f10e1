# One job for each evaluation: a whole dense width sweep, after recalibration where the method needs it.
from awnlib.studies.widths.stages import RecalibrateBN, SweepWidths


rule recalibrate_bn:
    input:
        unpack(inputs(RecalibrateBN)),
    output:
        record=record(RecalibrateBN),
    log:
        log_file(RecalibrateBN),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(RecalibrateBN, "threads")
    resources:
        mem_mb=declared(RecalibrateBN, "mem_mb"),
        runtime=RecalibrateBN.minutes,
        gpu=declared(RecalibrateBN, "gpus"),
    params:
        settings=declared(RecalibrateBN, "settings"),
        images=contents(RecalibrateBN),
        code=declared(RecalibrateBN, "code"),
    message:
        doing(RecalibrateBN)
    script:
        "../scripts/run_job.py"


rule sweep_widths:
    input:
        unpack(inputs(SweepWidths)),
    output:
        record=record(SweepWidths),
    log:
        log_file(SweepWidths),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(SweepWidths, "threads")
    resources:
        mem_mb=declared(SweepWidths, "mem_mb"),
        runtime=SweepWidths.minutes,
        gpu=declared(SweepWidths, "gpus"),
    params:
        settings=declared(SweepWidths, "settings"),
        images=contents(SweepWidths),
        code=declared(SweepWidths, "code"),
    message:
        doing(SweepWidths)
    script:
        "../scripts/run_job.py"
