"""SIGTERM is noticed while a block runs, and does afterwards what it did before."""

import os
import signal
import threading

import pytest

from awnlib.jobs.interrupt import TERMINATED, sigterm_noticed
from awnlib.jobs.progress import Progress
from awnlib.studies.shell import do_job
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import TrainModel


def test_sigterm_is_noticed_and_the_handler_restored():
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_noticed() as noticed:
        assert not noticed.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert noticed.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_handler_is_restored_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), sigterm_noticed():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_the_handler_alone():
    seen = []

    def work():
        with sigterm_noticed() as noticed:
            seen.append((signal.getsignal(signal.SIGTERM), noticed.is_set()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGTERM), False)]


def test_terminated_training_leaves_no_record(make_run, study_data, shapes, tmp_path, monkeypatch):
    """Neither a good record nor a failed one: the workflow does the job again, from its resume point."""
    run = make_run("awn", num_epochs=20)  # more steps than between two looks
    job = TrainModel(parse_study({**study_data, "device": "cpu"}), run)
    record, checkpoint = tmp_path / job.record, tmp_path / job.checkpoint
    shapes.save(tmp_path / job.data)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as stopped:
            do_job(job, tmp_path)
    assert stopped.value.code == TERMINATED == 143
    assert checkpoint.exists()
    assert not record.exists()
    assert do_job(job, tmp_path).measured["resumed"] == 1
    assert record.exists()
