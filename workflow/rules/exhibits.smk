# One rule for all tables of papers and one for all their figures, from parquet tables alone: to restyle one trains nothing.


localrules:
    make_table,
    draw_figure,


rule make_table:
    input:
        unpack(exhibit_tables),
    output:
        multiext("<results>/tables/{exhibit}", ".parquet", ".csv", ".md"),
    log:
        "<results>/logs/make_table/{exhibit}.log",
    wildcard_constraints:
        exhibit=one_of([name for name in KNOWN if is_table(name)]),
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
    wildcard_constraints:
        exhibit=one_of([name for name in KNOWN if not is_table(name)]),
    conda:
        "../envs/awnlib.yaml"
    params:
        exhibit=exhibit_settings,
        code=exhibit_code("draw_figure"),
    message:
        "drawing {wildcards.exhibit}"
    script:
        "../scripts/draw_figure.py"
