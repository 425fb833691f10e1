# The page that shows everything, and the verdict on the study.


localrules:
    report,


rule report:
    input:
        tables=collect(
            "<results>/tables/{name}.parquet", name=[*COLLECTED, *STUDY.tables]
        ),
        figures=collect("<results>/figures/{name}.svg", name=FIGURE_FILES),
        pictures=collect("<results>/figures/{name}.png", name=FIGURE_FILES),
    output:
        page="<results>/report.html",
        study="<results>/study.yaml",
    log:
        "<results>/logs/report.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        study=STUDY.model_dump(),
        code=lambda wildcards: job_code("report"),
    message:
        "writing the report of {STUDY.study}"
    script:
        "../scripts/write_report.py"


# Fails if a cell failed, after everything else was made, and clears its record so that the next call tries it again.
rule check_study:
    input:
        runs=collect("<results>/runs/{run}/record.json", run=RUNS),
        recalibrations=collect(
            "<results>/recalibrated/{evaluation}/record.json", evaluation=RECALIBRATED
        ),
        sweeps=collect(
            "<results>/sweeps/{evaluation}/record.json", evaluation=EVALUATIONS
        ),
        report="<results>/report.html",
    output:
        "<results>/complete.json",
    log:
        "<results>/logs/check_study.log",
    localrule: True
    conda:
        "../envs/awnlib.yaml"
    params:
        checkpoints=f"results/{STUDY.study}/checkpoints",
    message:
        "checking every cell of {STUDY.study}"
    script:
        "../scripts/check_study.py"
