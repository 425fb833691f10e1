# What must hold before any job starts, whatever the study.
import sys
from pathlib import Path

from awnlib.settings import ConfigError
from awnlib.jobs.start import check_python, lock_study

try:
    if workflow.is_main_process:
        check_python(sys.executable)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


onstart:
    try:
        if workflow.is_main_process:
            lock_study(Path("results", STUDY.study))
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
