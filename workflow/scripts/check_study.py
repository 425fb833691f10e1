"""Say whether every cell of the study succeeded."""

import sys
from pathlib import Path

from awnlib.jobs.verdict import StudyFailedError, check_study

records = [path for path in snakemake.input if path != snakemake.input.report]
try:
    checkpoints = Path(snakemake.params.checkpoints)
    check_study([Path(path) for path in records], Path(snakemake.output[0]), checkpoints=checkpoints)
except StudyFailedError as error:
    Path(snakemake.log[0]).write_text(f"{error}\n", encoding="utf-8")
    sys.exit(f"\n{error}\n")
