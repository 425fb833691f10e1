# The workflow: from images to the tables and figures of the papers.
#
#   snakemake --cores 2                                        the study of config.yaml
#   snakemake --cores 2 --configfile configs/ci.yaml           another study, in place of config.yaml
#   snakemake --cores 2 -n                                     what would be done
#
# Results go to results/<study>/. Rules are in workflow/rules, one file a stage; a width-transfer study (a configuration
# with the key `transfer`) has its own for what it trains.
from os.path import relpath

from snakemake.utils import min_version

min_version("9.27")


if not workflow.overwrite_configfiles:  # those of --configfile

    configfile: "config.yaml"


# The files of the configuration, for messages.
ORIGIN = " and ".join(relpath(file) for file in workflow.configfiles)


include: "workflow/rules/start.smk"
include: "workflow/rules/profile.smk"
include: "workflow/rules/study.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/jobs.smk"


if STUDY.kind == "transfer":

    include: "workflow/rules/width_transfer.smk"

else:

    include: "workflow/rules/train.smk"
    include: "workflow/rules/evaluate.smk"


include: "workflow/rules/collect.smk"
include: "workflow/rules/exhibits_common.smk"
include: "workflow/rules/exhibits.smk"
include: "workflow/rules/report.smk"


# Everything, and an exit code that tells whether every cell succeeded.
rule all:
    default_target: True
    input:
        "<results>/report.html",
        "<results>/complete.json",
    localrule: True


# The study's tables only.
rule tables:
    input:
        collect(
            "<results>/tables/{name}.{suffix}",
            name=STUDY.tables,
            suffix=["parquet", "csv", "md"],
        ),
    localrule: True


# The study's figures only.
rule figures:
    input:
        collect(
            "<results>/figures/{name}.{suffix}",
            name=STUDY.figures,
            suffix=["png", "svg"],
        ),
    localrule: True
