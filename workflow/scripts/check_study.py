"""Say whether every cell of the study succeeded."""

import sys
from pathlib import Path

from awnlib.jobs.verdict import StudyFailedError, check_study
from awnlib.studies.kinds import parse_any_study

results = parse_any_study(snakemake.config).results
records = [Path(path) for path in snakemake.input.records]
try:
    check_study(records, Path(snakemake.output[0]), checkpoints=results / "checkpoints")
except StudyFailedError as error:
    Path(snakemake.log[0]).write_text(f"{error}\n", encoding="utf-8")
    sys.exit(f"\n{error}\n")
