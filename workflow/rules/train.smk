# One job for each training run. Its resume point is no declared output, so that it survives a killed job, and stays until
# the study is complete: Snakemake deletes the output of a job that was interrupted after its last step.


rule train_model:
    input:
        unpack(images_of),
    output:
        record="<results>/runs/{run}/record.json",
    log:
        "<results>/logs/train_model/{run}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: train_threads
    resources:
        mem_mb=train_memory,
        runtime=720,
        gpu=lambda wildcards: int(ON_GPU) * train_processes(wildcards),
    params:
        checkpoint=f"results/{STUDY.study}/checkpoints/{{run}}.safetensors",
        settings=run_settings,
        images=run_images("training"),
        code=train_code,
    message:
        "training {wildcards.run}"
    script:
        "../scripts/run_job.py"
