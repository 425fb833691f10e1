# One rule for each figure, from parquet tables alone: to restyle a figure trains nothing.


localrules:
    figure2,
    figure4,
    figure5,
    figure5_macs,
    figure6,


rule figure2:
    input:
        bn_statistics="<results>/tables/bn_statistics.parquet",
    output:
        multiext("<results>/figures/figure2", ".png", ".svg"),
    log:
        "<results>/logs/figure2.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit("figure2"),
        code=lambda wildcards: job_code("figure2"),
    script:
        "../scripts/draw_figure.py"


rule figure4:
    input:
        sweeps="<results>/tables/sweep.parquet",
        evaluations="<results>/tables/evaluations.parquet",
        runs="<results>/tables/runs.parquet",
    output:
        multiext("<results>/figures/figure4", ".png", ".svg"),
    log:
        "<results>/logs/figure4.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit("figure4"),
        code=lambda wildcards: job_code("figure4"),
    script:
        "../scripts/draw_figure.py"


rule figure5:
    input:
        sweeps="<results>/tables/sweep.parquet",
        evaluations="<results>/tables/evaluations.parquet",
    output:
        multiext("<results>/figures/figure5", ".png", ".svg"),
    log:
        "<results>/logs/figure5.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit("figure5"),
        code=lambda wildcards: job_code("figure5"),
    script:
        "../scripts/draw_figure.py"


# Figure 5 with the cost of a width on its horizontal axis.
rule figure5_macs:
    input:
        sweeps="<results>/tables/sweep.parquet",
        evaluations="<results>/tables/evaluations.parquet",
    output:
        multiext("<results>/figures/figure5_macs", ".png", ".svg"),
    log:
        "<results>/logs/figure5_macs.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit("figure5"),
        code=lambda wildcards: job_code("figure5_macs"),
    script:
        "../scripts/draw_figure.py"


rule figure6:
    input:
        sweeps="<results>/tables/sweep.parquet",
        evaluations="<results>/tables/evaluations.parquet",
    output:
        multiext("<results>/figures/figure6", ".png", ".svg"),
    log:
        "<results>/logs/figure6.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit("figure6"),
        code=lambda wildcards: job_code("figure6"),
    script:
        "../scripts/draw_figure.py"
