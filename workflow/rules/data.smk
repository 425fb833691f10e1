# Images: read once from their source, resized and split, then kept as one file for all jobs; in studies of either kind.


checkpoint prepare_data:
    output:
        data="<results>/data/{dataset}.safetensors",
        contents="<results>/data/{dataset}.json",
    log:
        "<results>/logs/prepare_data/{dataset}.log",
    conda:
        "../envs/awnlib.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda wildcards: image_settings(wildcards).prepare_settings(),
        files=lambda wildcards: files_of(wildcards.dataset, image_settings(wildcards)),
        code=lambda wildcards: job_code(
            "prepare_data", source=image_settings(wildcards).source
        ),
    message:
        "preparing {wildcards.dataset}"
    script:
        "../scripts/prepare_data.py"
