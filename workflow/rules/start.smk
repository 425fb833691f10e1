# What must hold before any job starts, whatever the study.
import sys

from awnlib.settings import ConfigError
from awnlib.jobs.start import check_python, lock_study
from awnlib.studies.job import find_named

try:
    if workflow.is_main_process:
        check_python(sys.executable)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


def find(there, name, kind):
    """What a wildcard names; what the study does not have is refused, with what there is."""
    try:
        return find_named(there, name, kind)
    except ValueError as error:
        raise WorkflowError(f"{ORIGIN}: {error}") from None


onstart:
    try:
        if workflow.is_main_process:
            lock_study(STUDY.results)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
