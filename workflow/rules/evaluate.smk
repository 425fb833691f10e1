# One job for each evaluation: a whole dense width sweep, after recalibration where the method needs it.
# Residual errors beside them, and the slimming of those runs whose slimmed network is evaluated too: its resume point is no
# declared output, so that it survives a killed job.
from awnlib.studies.widths.stages import (
    MeasureResiduals,
    RecalibrateBN,
    SlimWidths,
    SweepWidths,
)


rule slim_widths:
    input:
        unpack(inputs(SlimWidths)),
    output:
        record=record(SlimWidths),
    log:
        log_file(SlimWidths),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(SlimWidths, "threads")
    resources:
        mem_mb=declared(SlimWidths, "mem_mb"),
        runtime=SlimWidths.minutes,
        gpu=declared(SlimWidths, "gpus"),
    params:
        settings=declared(SlimWidths, "settings"),
        images=contents(SlimWidths),
        code=declared(SlimWidths, "code"),
    message:
        doing(SlimWidths)
    script:
        "../scripts/run_job.py"


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


# Only of runs that an exhibit asks it of.
rule measure_residuals:
    input:
        unpack(inputs(MeasureResiduals)),
    output:
        record=record(MeasureResiduals),
    log:
        log_file(MeasureResiduals),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(MeasureResiduals, "threads")
    resources:
        mem_mb=declared(MeasureResiduals, "mem_mb"),
        runtime=MeasureResiduals.minutes,
        gpu=declared(MeasureResiduals, "gpus"),
    params:
        settings=declared(MeasureResiduals, "settings"),
        images=contents(MeasureResiduals),
        code=declared(MeasureResiduals, "code"),
    message:
        doing(MeasureResiduals)
    script:
        "../scripts/run_job.py"
