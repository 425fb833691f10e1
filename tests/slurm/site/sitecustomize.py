"""What Python runs at its start in the jobs of these tests: every training tells what it does, and takes its time.

Lines of JSON go to the folder AWN_TRACE, one file a run. A lock, which dies with the process, tells two trainings of
the same run at the same time.
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

if "AWN_TRACE" in os.environ and any("run_job" in argument for argument in sys.orig_argv):
    from awnlib.training.engine import _Training

    folder = Path(os.environ["AWN_TRACE"])
    pause = float(os.environ["AWN_STEP_S"])
    restore, save, result, take_step = _Training.restore, _Training.save, _Training.result, _Training._take_step

    def tell(training, event):
        path = folder / f"{training.run.name.replace('/', '.')}.jsonl"
        gpus, job = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("SLURM_JOB_ID")
        line = {
            "event": event,
            "step": training.step,
            "time": time.time(),
            "pid": os.getpid(),
            "gpus": gpus,
            "job": job,
        }
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def told_restore(training, path):
        training.lock = (folder / f"{training.run.name.replace('/', '.')}.lock").open("w")
        try:
            fcntl.flock(training.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            tell(training, "overlap")
        restore(training, path)
        tell(training, "start")

    def told_save(training, path):
        save(training, path)
        tell(training, "save")

    def told_result(training):
        tell(training, "finish")
        return result(training)

    def slow_step(training, *batch):
        time.sleep(pause)
        return take_step(training, *batch)

    _Training.restore, _Training.save, _Training.result = told_restore, told_save, told_result
    _Training._take_step = slow_step
