# One rule for all tables of papers and one for all their figures, from parquet tables alone: to restyle one trains nothing.
from awnlib.results.exhibits import needs_of, renderer_path


localrules:
    make_table,
    draw_figure,


wildcard_constraints:
    exhibit="|".join(map(re.escape, STUDY.shown)) or "none",


def exhibit_tables(wildcards):
    """The tables of the study that an exhibit is made from."""
    return {
        name: f"<results>/tables/{name}.parquet" for name in needs_of(wildcards.exhibit)
    }


def exhibit_settings(wildcards):
    """What an exhibit shows, of which row of which paper, and the paper's numbers: a change here makes it again."""
    exhibit = STUDY.exhibit(wildcards.exhibit)
    return {
        "row": exhibit.row.model_dump(),
        "panels": [panel.model_dump() for panel in exhibit.panels],
        "methods": exhibit.methods,
        "paper": exhibit.paper.of_exhibit(exhibit.short_name),
    }


def exhibit_code(rule_name):
    """The code that makes an exhibit, its renderer among it."""
    return lambda wildcards: job_code(
        rule_name, others=(renderer_path(wildcards.exhibit),)
    )


rule make_table:
    input:
        unpack(exhibit_tables),
    output:
        multiext("<results>/tables/{exhibit}", ".parquet", ".csv", ".md"),
    log:
        "<results>/logs/make_table/{exhibit}.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit_settings,
        code=exhibit_code("make_table"),
    message:
        "making {wildcards.exhibit}"
    script:
        "../scripts/make_table.py"


rule draw_figure:
    input:
        unpack(exhibit_tables),
    output:
        multiext("<results>/figures/{exhibit}", ".png", ".svg"),
    log:
        "<results>/logs/draw_figure/{exhibit}.log",
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit_settings,
        code=exhibit_code("draw_figure"),
    message:
        "drawing {wildcards.exhibit}"
    script:
        "../scripts/draw_figure.py"
