# A width-transfer study: search widths in cheap configurations, carry them over, retrain, compare.
from awnlib.studies.transfer.stages import (
    SearchWidths,
    TrainTransferred,
    TransferWidths,
)


# It takes seconds: no job for a cluster.
localrules:
    transfer_widths,


# One job for each search. Its resume points are no declared outputs, so that they survive a killed job.
rule search_widths:
    input:
        unpack(inputs(SearchWidths)),
    output:
        record=record(SearchWidths),
    log:
        log_file(SearchWidths),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(SearchWidths, "threads")
    resources:
        mem_mb=declared(SearchWidths, "mem_mb"),
        runtime=SearchWidths.minutes,
        gpu=declared(SearchWidths, "gpus"),
    params:
        settings=declared(SearchWidths, "settings"),
        images=contents(SearchWidths),
        code=declared(SearchWidths, "code"),
    message:
        doing(SearchWidths)
    script:
        "../scripts/run_job.py"


# The widths of a search for the target: dimensions and MACs matched.
rule transfer_widths:
    input:
        unpack(inputs(TransferWidths)),
    output:
        record=record(TransferWidths),
    log:
        log_file(TransferWidths),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(TransferWidths, "threads")
    resources:
        mem_mb=declared(TransferWidths, "mem_mb"),
        runtime=TransferWidths.minutes,
    params:
        settings=declared(TransferWidths, "settings"),
        images=contents(TransferWidths),
        code=declared(TransferWidths, "code"),
    message:
        doing(TransferWidths)
    script:
        "../scripts/run_job.py"


# One job for each retraining from scratch, tested at its end.
rule train_transferred:
    input:
        unpack(inputs(TrainTransferred)),
    output:
        record=record(TrainTransferred),
    log:
        log_file(TrainTransferred),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(TrainTransferred, "threads")
    resources:
        mem_mb=declared(TrainTransferred, "mem_mb"),
        runtime=TrainTransferred.minutes,
        gpu=declared(TrainTransferred, "gpus"),
    params:
        settings=declared(TrainTransferred, "settings"),
        images=contents(TrainTransferred),
        code=declared(TrainTransferred, "code"),
    message:
        doing(TrainTransferred)
    script:
        "../scripts/run_job.py"
