# One job for each training run. Its resume point is no declared output, so that it survives a killed job, and stays until
# the study is complete: Snakemake deletes the output of a job that was interrupted after its last step.
from awnlib.studies.widths.stages import TrainModel


rule train_model:
    input:
        unpack(inputs(TrainModel)),
    output:
        record=record(TrainModel),
    log:
        log_file(TrainModel),
    conda:
        "../envs/awnlib.yaml"
    threads: declared(TrainModel, "threads")
    resources:
        mem_mb=declared(TrainModel, "mem_mb"),
        runtime=TrainModel.minutes,
        gpu=declared(TrainModel, "gpus"),
    params:
        settings=declared(TrainModel, "settings"),
        images=contents(TrainModel),
        code=declared(TrainModel, "code"),
    message:
        doing(TrainModel)
    script:
        "../scripts/run_job.py"
