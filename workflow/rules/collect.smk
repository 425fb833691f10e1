# Study-wide tables from the records of all jobs. They take seconds, as do exhibits and the report: no jobs for a cluster.


localrules:
    collect_results,


rule collect_results:
    input:
        records=records(),
    output:
        collect("<results>/tables/{file}", file=STUDY.collected),
    log:
        "<results>/logs/collect_results.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        settings=STUDY.tabled(),
        code=lambda wildcards: job_code(
            "collect_results", others=(f"studies.{STUDY.kind}.collect.collect",)
        ),
    message:
        "collecting {STUDY.study}"
    script:
        "../scripts/collect_results.py"
