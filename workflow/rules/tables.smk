# Study-wide tables from the records of all jobs. They take seconds, as do exhibits and the report: no jobs for a cluster.


localrules:
    collect_results,


rule collect_results:
    input:
        runs=collect("<results>/runs/{run}/record.json", run=RUNS),
        sweeps=collect(
            "<results>/sweeps/{evaluation}/record.json", evaluation=EVALUATIONS
        ),
    output:
        collect("<results>/tables/{table}.parquet", table=COLLECTED),
    log:
        "<results>/logs/collect_results.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        labels={name: evaluation.label for name, evaluation in EVALUATIONS.items()},
        code=lambda wildcards: job_code("collect_results"),
    message:
        "collecting {STUDY.study}"
    script:
        "../scripts/collect_results.py"
