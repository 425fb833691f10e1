# Study-wide tables from the records of all jobs, and the papers' tables from them.
# They take seconds, as do figures and the report: no jobs for a cluster.


localrules:
    collect_results,
    table1,
    table2,


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


rule table1:
    input:
        history="<results>/tables/history.parquet",
        sweep="<results>/tables/sweep.parquet",
        runs="<results>/tables/runs.parquet",
    output:
        multiext("<results>/tables/table1", ".parquet", ".csv", ".md"),
    log:
        "<results>/logs/table1.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit("table1"),
        code=lambda wildcards: job_code("table1"),
    script:
        "../scripts/make_table.py"


rule table2:
    input:
        evaluations="<results>/tables/evaluations.parquet",
    output:
        multiext("<results>/tables/table2", ".parquet", ".csv", ".md"),
    log:
        "<results>/logs/table2.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit("table2"),
        code=lambda wildcards: job_code("table2"),
    script:
        "../scripts/make_table.py"
