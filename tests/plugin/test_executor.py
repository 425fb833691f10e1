"""The executor on a fake SLURM: arrays, tickets, results, restarts, cancelling."""

import itertools
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from snakemake_interface_common.exceptions import WorkflowError
from submitit.core.utils import CommandFunction, FailedJobError, JobPaths

from snakemake_executor_plugin_submitit import clusters
from snakemake_executor_plugin_submitit import executor as executor_module
from snakemake_executor_plugin_submitit.tickets import Tickets


def scripts(slurm):
    return [path.read_text() for path in sorted(slurm.glob("*.sh"), key=lambda path: int(path.stem))]


def tickets(executor):
    return {json.loads(path.read_text())["job_id"] for path in executor.tickets.folder.glob("*.json")}


# --- what is missing -------------------------------------------------------------------------------------------------


def test_missing_submitit_is_named_with_its_remedy(make_executor, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(WorkflowError, match="install it with: pip install submitit"):
        make_executor(cluster="local")


def test_missing_programs_of_slurm_are_named(slurm, make_executor):
    for name in ("sbatch", "squeue"):
        (slurm.parent / "bin" / name).unlink()
    make_executor(cluster="local")
    with pytest.raises(WorkflowError, match="--submitit-cluster slurm needs sbatch, squeue on the PATH"):
        make_executor()


# --- submission ------------------------------------------------------------------------------------------------------


def test_jobs_of_one_shape_are_one_array(slurm, make_executor, make_job):
    """Shape: the parameters of the submission, the rule's name among them."""
    executor = make_executor(array_parallelism=2)
    small = [make_job(output=f"small{i}", mem_mb=100) for i in range(3)]
    large, other = make_job(output="large", mem_mb=200), make_job("sweep", "other", mem_mb=100)
    executor.run_jobs([small[0], large, small[1], other, small[2]])
    arrays = [re.findall("--array=(.*)", script) for script in scripts(slurm)]
    assert arrays == [["0-2%2"], [], []]
    assert tickets(executor) == {"1_0", "1_1", "1_2", "2", "3"}
    assert executor.outcomes.submitted == [*small, large, other]
    assert [job.reports for job in small] == [["1_0"], ["1_1"], ["1_2"]]
    assert "Job 1 submitted as SLURM job 1_2 (train)." in executor.messages


def test_large_arrays_are_cut(slurm, make_executor, make_job):
    make_executor(array_size=3).run_jobs([make_job(output=str(i)) for i in range(7)])
    assert [re.findall("--array=(.*)", script) for script in scripts(slurm)] == [["0-2%3"], ["0-2%3"], []]


def test_refused_submission_fails_its_jobs_alone(slurm, make_executor, make_job):
    executor = make_executor()
    good, bad = make_job(output="good"), make_job(output="bad", slurm_partition="nowhere")
    executor.run_jobs([bad, good])
    assert (executor.outcomes.submitted, executor.outcomes.bad) == ([good], [bad])
    assert "invalid partition specified: nowhere" in bad.reports[0][0]
    assert tickets(executor) == {"1", ""}
    executor.run_job(make_job(output="bad"))
    assert tickets(executor) == {"1", "2"}
    assert not (slurm / "cancelled").exists()


def test_wrong_resource_fails_its_job_alone(slurm, make_executor, make_job):
    executor = make_executor()
    good, bad, unknown = make_job(), make_job(output="b", submitit="{"), make_job(output="c", submitit='{"foo": 1}')
    executor.run_jobs([bad, good, unknown])
    assert (executor.outcomes.submitted, executor.outcomes.bad) == ([good], [bad, unknown])
    assert "resource submitit is no JSON" in bad.reports[0][0]
    assert "foo" in unknown.reports[0][0]


def test_surrounding_slurm_job_is_hidden_from_sbatch(slurm, make_executor, make_job, monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SLURM_CONF"):
        monkeypatch.setenv(name, "1")
    make_executor().run_job(make_job())
    seen = [name for name in (slurm / "1.env").read_text().split() if name.startswith("SLURM_")]
    assert seen == ["SLURM_CONF"]
    assert os.environ["SLURM_MEM_PER_CPU"] == "1"


def test_long_lists_of_inputs_go_through_a_file(slurm, make_executor, make_job, monkeypatch):
    monkeypatch.setattr("snakemake_executor_plugin_submitit.executor.RealExecutor.get_job_args", lambda *_, **__: "-n")
    executor = make_executor()
    assert executor.get_job_args(make_job()) == "-n"
    assert executor.get_job_args(make_job(files=["a", "b c"])) == "-n --wait-for-files a 'b c'"
    files = [f"input{i}" for i in range(21)]
    flag, listed = executor.get_job_args(make_job(files=files)).split()[1:]
    assert flag == "--wait-for-files-file"
    assert Path(listed).read_text(encoding="utf-8").split() == files


# --- results ---------------------------------------------------------------------------------------------------------


def test_finished_and_failed_jobs_are_reported_once(slurm, make_executor, make_job, finish, check):
    executor = make_executor()
    good, bad, broken = (make_job(output=name) for name in "abc")
    executor.run_jobs([good, bad, broken])
    check(executor)
    assert not executor.outcomes.good + executor.outcomes.bad
    finish(executor, "1_0", "success", 0)
    finish(executor, "1_1", "success", 1)
    finish(
        executor, "1_2", "error", "Traceback ...\nUncompletedJobError: Job not requeued because: timed-out too often."
    )
    log = Path(executor.submissions["1_1"].ticket.folder) / "1_1_0_log.err"
    log.write_text("no space left")
    check(executor)
    assert (executor.outcomes.good, executor.outcomes.bad) == ([good], [bad, broken])
    message, details = bad.reports[-1]
    assert message.startswith("SLURM job 1_1 (train): Snakemake in it failed (status 1). ")
    assert details == {"aux_logs": [str(log)], "external_jobid": "1_1"}
    assert "SLURM job 1_2 (train): UncompletedJobError: Job not requeued because: timed-out" in broken.reports[-1][0]
    assert tickets(executor) == set(executor.submissions) == set()
    assert executor.active_jobs == []


@pytest.mark.parametrize(
    ("status", "told"),
    [(-9, "was killed, as happens when memory runs out"), (137, "was killed, as"), (-15, "was ended by signal 15")],
)
def test_killed_command_is_told_from_a_failed_one(slurm, make_executor, make_job, finish, check, status, told):
    executor = make_executor()
    executor.run_job(job := make_job())
    finish(executor, "1", "success", status)
    check(executor)
    assert f"SLURM job 1 (train): Snakemake in it {told}" in job.reports[-1][0]


def test_vanished_job_fails_with_what_slurm_tells(slurm, make_executor, make_job, finish, check, add_program):
    add_program("scontrol", 'print("JobState=NODE_FAIL Reason=NodeDown ExitCode=1:0")')
    executor = make_executor()
    job, other = make_job(output="a"), make_job(output="b")
    executor.run_jobs([job, other])
    finish(executor, "1_0")
    for _ in range(2):
        check(executor)
    assert not executor.outcomes.bad
    check(executor)
    assert executor.outcomes.bad == [job]
    assert "ended without a result, state NODE_FAIL, reason NodeDown" in job.reports[-1][0]
    assert tickets(executor) == {"1_1"}


def test_late_result_counts(slurm, make_executor, make_job, finish, check):
    """On a network file system the result may appear after the job left the queue."""
    executor = make_executor()
    executor.run_job(job := make_job())
    folder = executor.submissions["1"].ticket.folder
    finish(executor, "1")
    check(executor)
    (slurm / "1.queued").touch()
    finish(executor, "1", "success", 0)
    assert list(Path(folder).glob("*result.pkl"))
    check(executor)
    assert executor.outcomes.good == [job]


def test_requeues_are_told_once(slurm, make_executor, make_job, check):
    executor = make_executor(max_requeues=5)
    executor.run_job(make_job())
    (slurm / "1.queued").write_text("PENDING 2")
    check(executor)
    check(executor)
    told = [message for message in executor.messages if "requeued" in message]
    assert told == ["SLURM job 1 (train) was requeued: restart 2 (at most 5 after the time limit), PENDING."]


# --- a restarted Snakemake -------------------------------------------------------------------------------------------


def test_running_job_is_attached_to(slurm, make_executor, make_job, finish, check):
    make_executor().run_jobs([make_job(output="a"), make_job(output="b")])
    executor, jobs = make_executor(), [make_job(output="a"), make_job(output="b"), make_job(output="c")]
    executor.run_jobs(jobs)
    assert len(scripts(slurm)) == 2
    assert executor.outcomes.submitted == jobs
    assert "Job 1 attached to SLURM job 1_1 (train)." in executor.messages
    finish(executor, "1_1", "success", 0)
    check(executor)
    assert executor.outcomes.good == [jobs[1]]
    assert tickets(executor) == {"1_0", "2"}


@pytest.mark.parametrize(
    ("outcome", "made", "attaches"),
    [(("success", 0), True, True), (("success", 0), False, False), (("success", 1), True, False), ((), True, False)],
    ids=["finished", "outputs are gone", "failed", "vanished"],
)
def test_ended_job_counts_only_if_it_left_what_it_should(
    slurm, make_executor, make_job, finish, check, tmp_path, outcome, made, attaches
):
    first, output = make_executor(), tmp_path / "output"
    first.run_job(make_job(output=output))
    finish(first, "1", *outcome)
    if made:
        output.touch()
    executor, job = make_executor(), make_job(output=output)
    executor.run_job(job)
    assert len(scripts(slurm)) == (1 if attaches else 2)
    assert tickets(executor) == ({"1"} if attaches else {"2"})
    check(executor)
    assert executor.outcomes.good == ([job] if attaches else [])


def test_job_that_does_something_else_is_cancelled_and_submitted_anew(slurm, make_executor, make_job):
    make_executor().run_job(make_job(params=[("lr", 0.1)]))
    executor = make_executor()
    executor.run_job(make_job(params=[("lr", 0.2)]))
    assert (slurm / "cancelled").read_text() == "1\n"
    assert tickets(executor) == set(executor.submissions) == {"2"}


def test_slurm_that_does_not_answer_is_waited_for(slurm, make_executor, make_job, monkeypatch):
    make_executor().run_job(make_job())
    (slurm / "down").touch()
    executor, pauses = make_executor(), iter([None, None, (slurm / "down").unlink])
    monkeypatch.setattr(executor_module.time, "sleep", lambda _: (next(pauses) or int)())
    executor.run_job(make_job())
    assert len([message for message in executor.messages if "whether SLURM jobs 1 still run" in message]) == 1
    assert "attached to SLURM job 1" in executor.messages[-1]


def test_damaged_ticket_is_told_and_forgotten(slurm, make_executor, make_job):
    first = make_executor()
    first.run_job(make_job())
    (path,) = first.tickets.folder.iterdir()
    path.write_text('{"job_id"')
    executor = make_executor()
    executor.run_job(make_job())
    assert f"{path} is damaged" in executor.messages[0]
    assert tickets(executor) == {"2"}


# --- a Snakemake that was killed while it submitted -------------------------------------------------------------------


class Killed(BaseException):
    """Like SIGKILL, this is handled nowhere."""


def submit_until(step, executor, jobs):
    """Kill Snakemake just before one of the steps of its submission that leave something behind: a file or a job."""
    steps = itertools.count()

    def counted(function):
        def call(*arguments, **options):
            if next(steps) == step:
                raise Killed
            return function(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((Tickets, "write"), (CommandFunction, "__call__"), (JobPaths, "move_temporary_file")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        with pytest.raises(Killed):
            executor.run_jobs(jobs)


def queued(slurm):
    return {path.stem for path in slurm.glob("*.queued")}


def able_to_run(executor):
    """Return the jobs that find the function they shall call."""
    return {path.name.removesuffix("_submitted.pkl") for path in executor.folder.rglob("*_submitted.pkl")}


@pytest.mark.parametrize(
    ("count", "step"), [(count, step) for count, steps in ((1, 5), (3, 11)) for step in range(steps)]
)
def test_at_any_moment_each_job_is_queued_once_and_able_to_run(slurm, make_executor, make_job, count, step):
    """Steps: the tickets, sbatch, submitit's script, its file for each job, the tickets with numbers."""
    first = make_executor()
    submit_until(step, first, [make_job(output=str(i)) for i in range(count)])
    taken, able = queued(slurm), able_to_run(first)
    executor, jobs = make_executor(), [make_job(output=str(i)) for i in range(count)]
    executor.run_jobs(jobs)
    assert set(executor.outcomes.submitted) == set(jobs)
    assert tickets(executor) == set(executor.submissions) == queued(slurm)
    assert len(queued(slurm)) == count
    assert queued(slurm) <= able_to_run(executor)
    assert queued(slurm) & taken == able
    told = {f"Cancelled SLURM job {job_id} (train): its submission was cut short." for job_id in taken - able}
    assert {message for message in executor.messages if "Cancelled" in message} == told


def test_attached_jobs_are_those_of_their_place_in_the_array(slurm, make_executor, make_job):
    submit_until(9, make_executor(), [make_job(output=name) for name in "abc"])  # when one ticket has its number
    executor, jobs = make_executor(), [make_job(output=name) for name in "cba"]
    executor.run_jobs(jobs)
    assert [job.reports for job in jobs] == [["1_2"], ["1_1"], ["1_0"]]
    assert len(scripts(slurm)) == 1


def test_job_that_slurm_took_although_sbatch_failed_is_cancelled(slurm, make_executor, make_job, monkeypatch):
    sbatch = CommandFunction.__call__

    def time_out(command):
        sbatch(command)
        raise FailedJobError("Socket timed out on send/recv operation")

    executor = make_executor()
    with monkeypatch.context() as patch:
        patch.setattr(CommandFunction, "__call__", time_out)
        executor.run_job(make_job())
    assert (len(executor.outcomes.bad), queued(slurm)) == (1, {"1"})
    executor.run_job(make_job())
    assert tickets(executor) == set(executor.submissions) == queued(slurm) == {"2"}


def test_slurm_is_waited_for_to_learn_what_it_took(slurm, make_executor, make_job, monkeypatch):
    submit_until(2, make_executor(), [make_job()])  # after sbatch
    (slurm / "down").touch()
    executor, pauses = make_executor(), iter([None, (slurm / "down").unlink])
    monkeypatch.setattr(executor_module.time, "sleep", lambda _: (next(pauses, None) or int)())
    executor.run_job(make_job())
    assert len([message for message in executor.messages if "waiting to learn which jobs it took" in message]) == 1
    assert queued(slurm) == {"2"}


def test_outdated_job_keeps_its_ticket_until_it_ended(slurm, make_executor, make_job, monkeypatch):
    first = make_executor()
    first.run_job(make_job(params=[("lr", 0.1)]))

    def kill(_):
        raise Killed

    monkeypatch.setattr(clusters, "cancel_slurm", kill)
    with pytest.raises(Killed):
        make_executor().run_job(make_job(params=[("lr", 0.2)]))
    assert tickets(first) == {"1"}


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_local_jobs_are_found_in_their_folders(make_executor, make_job, tmp_path):
    for name in "ab":
        (tmp_path / name).touch()
    first = make_executor(cluster="local")
    submit_until(5, first, [make_job(output=tmp_path / name) for name in "ab"])  # the second ticket has no number
    (known,) = first.submissions
    assert tickets(first) == {known, ""}
    executor, jobs = make_executor(cluster="local"), [make_job(output=tmp_path / name) for name in "ab"]
    executor.run_jobs(jobs)
    assert executor.submissions.keys() == able_to_run(executor) > {known}
    assert len([message for message in executor.messages if "attached to local job" in message]) == 2
    executor.cancel_jobs([])


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


def test_cancel_ends_all_jobs_even_while_they_are_checked(slurm, make_executor, make_job, check):
    executor = make_executor()
    executor.run_jobs([make_job(output="a"), make_job(output="b"), make_job("sweep", "c")])
    executor.cancel_jobs([])  # what the base class knows of while it checks
    assert sorted((slurm / "cancelled").read_text().split()) == ["1_0", "1_1", "2"]
    for _ in range(5):
        check(executor)
    assert executor.outcomes.bad == []


def test_cancelled_job_that_still_saves_is_waited_for(slurm, make_executor, make_job, monkeypatch):
    """SLURM gives a job time between its cancellation and its end; nothing may run beside it."""
    first = make_executor()
    first.run_job(make_job())
    monkeypatch.setattr(clusters, "cancel_slurm", lambda job_ids: None)  # it takes its time
    first.cancel_jobs([])
    submitted = []

    def sleep(seconds):
        submitted.append(len(scripts(slurm)))
        if len(submitted) == 3:
            (slurm / "1.queued").unlink()

    monkeypatch.setattr(executor_module.time, "sleep", sleep)
    executor = make_executor()
    executor.run_job(make_job())
    assert set(submitted[:3]) == {1}
    assert tickets(executor) == {"2"}
    assert any("it was cancelled before. Waiting for its end." in message for message in executor.messages)


def test_job_that_ended_after_it_was_cancelled_is_submitted_anew(slurm, make_executor, make_job):
    first = make_executor()
    first.run_job(make_job())
    first.cancel_jobs([])
    executor = make_executor()
    executor.run_job(make_job())
    assert tickets(executor) == {"2"}
    assert not any("Waiting" in message for message in executor.messages)


def test_detached_jobs_go_on_and_are_found_again(slurm, make_executor, make_job):
    first = make_executor(on_cancel="detach")
    first.run_jobs([make_job(output="a"), make_job(output="b")])
    first.cancel_jobs([])
    assert not (slurm / "cancelled").exists()
    assert first.messages[-1].startswith("Detached from 2 jobs")
    executor = make_executor()
    executor.run_jobs([make_job(output="a"), make_job(output="b")])
    assert len(scripts(slurm)) == 1


def test_interruption_during_submission_waits_for_the_tickets(slurm, make_executor, make_job, monkeypatch):
    submit = clusters.submit

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return submit(*arguments, **options)

    monkeypatch.setattr(clusters, "submit", interrupted)
    before = signal.getsignal(signal.SIGINT)
    executor = make_executor()
    with pytest.raises(KeyboardInterrupt):
        executor.run_jobs([make_job(output="a"), make_job(output="b")])
    assert tickets(executor) == set(executor.submissions) == {"1_0", "1_1"}
    assert signal.getsignal(signal.SIGINT) is before
    executor.cancel_jobs([])
    assert sorted((slurm / "cancelled").read_text().split()) == ["1_0", "1_1"]
