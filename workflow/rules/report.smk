# The page that shows everything, and the verdict on the study, of either kind.


localrules:
    report,


rule report:
    input:
        tables=collect("<results>/tables/{name}.parquet", name=STUDY.reported),
        figures=collect("<results>/figures/{name}.svg", name=STUDY.figures),
        pictures=collect("<results>/figures/{name}.png", name=STUDY.figures),
    output:
        page="<results>/report.html",
        study="<results>/study.yaml",
    log:
        "<results>/logs/report.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        study=STUDY.model_dump(),
        main=[load_paper(paper).main for paper in STUDY.papers],
        code=lambda wildcards: job_code(
            "report", others=tuple(map(renderer_path, STUDY.shown))
        ),
    message:
        "writing the report of {STUDY.study}"
    script:
        "../scripts/write_report.py"


# Fails if a cell failed, after everything else was made, and clears its record so that the next call tries it again.
rule check_study:
    input:
        records=records(),
        report="<results>/report.html",
    output:
        "<results>/complete.json",
    log:
        "<results>/logs/check_study.log",
    localrule: True
    conda:
        "../envs/awnlib.yaml"
    message:
        "checking every cell of {STUDY.study}"
    script:
        "../scripts/check_study.py"
