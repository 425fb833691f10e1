# Images: read once from their source, resized and split, then kept as one file for all runs.


rule prepare_data:
    output:
        "<results>/data/{dataset}.safetensors",
    log:
        "<results>/logs/prepare_data/{dataset}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda wildcards: STUDY.datasets[wildcards.dataset].prepare_settings(),
        code=lambda wildcards: job_code(
            "prepare_data", source=STUDY.datasets[wildcards.dataset].source
        ),
    message:
        "preparing {wildcards.dataset}"
    script:
        "../scripts/prepare_data.py"
