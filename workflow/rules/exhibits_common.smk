# What the rules of tables and figures ask of the study.
from awnlib.results.exhibits import (
    exhibit_names,
    is_table,
    load_paper,
    needs_of,
    renderer_path,
)

KNOWN = exhibit_names(STUDY.kind)


def one_of(names):
    """The pattern of some names."""
    return "|".join(map(re.escape, names)) or "none"


def exhibit_tables(wildcards):
    """The tables of the study that an exhibit is made from; one that it lacks is refused before any job starts."""
    if wildcards.exhibit not in STUDY.shown:
        there = ", ".join(STUDY.shown)
        raise WorkflowError(
            f"{ORIGIN}: there is no {wildcards.exhibit} in this study (it has: {there})"
        )
    return {
        name: f"<results>/tables/{name}.parquet" for name in needs_of(wildcards.exhibit)
    }


def exhibit_settings(wildcards):
    """What an exhibit shows besides its tables: a change here makes it again."""
    return STUDY.exhibit(wildcards.exhibit).shown()


def exhibit_code(rule_name):
    """The code that makes an exhibit, its renderer among it."""
    return lambda wildcards: job_code(
        rule_name, others=(renderer_path(wildcards.exhibit),)
    )
