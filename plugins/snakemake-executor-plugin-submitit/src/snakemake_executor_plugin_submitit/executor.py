"""The executor: submits ready jobs, attaches to those that an earlier Snakemake left, watches them, cancels them."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, TypeVar

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_submitit import clusters, liveness
from snakemake_executor_plugin_submitit.gpus import Gpus
from snakemake_executor_plugin_submitit.parameters import grace_s, submission_parameters
from snakemake_executor_plugin_submitit.settings import ExecutorSettings
from snakemake_executor_plugin_submitit.tickets import Ticket, TicketError, Tickets, job_key, job_work

if TYPE_CHECKING:
    from snakemake_executor_plugin_submitit.job import SnakemakeJob

RESULT_CHECK_S = 2  # results are files: looking for them is cheap, unlike asking SLURM
MOST_ARGUMENTS = 20  # more input files than that go into a file
CANCELLED = ""  # in place of a ticket's digest: no job does this
T = TypeVar("T")
KINDS = {"slurm": "SLURM job", "local": "local job", "debug": "job"}


@dataclass
class Submission:
    """A submitted job; `debug` is submitit's job where it runs inside this process."""

    job: JobExecutorInterface
    key: str
    ticket: Ticket
    debug: Any = None
    restarts: int = 0

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{KINDS[self.ticket.cluster]} {self.ticket.job_id} ({self.job.name})"


class Executor(RemoteExecutor):
    """Runs jobs through submitit."""

    def __post_init__(self) -> None:
        self.settings: ExecutorSettings = self.executor_settings
        clusters.check_installation(self.settings.cluster)
        self.folder = Path(self.settings.folder).absolute()
        self.tickets = Tickets(self.folder / "tickets")
        self.gpus = Gpus()
        # RemoteExecutor empties its own list of active jobs while it checks them, just when Ctrl-C may need it.
        self.submissions: dict[str, Submission] = {}
        self.watch = liveness.Watch()
        self.queue_asked = time.monotonic()
        self.cancelled = False
        self.queue_pause_s = self.workflow.remote_execution_settings.seconds_between_status_checks
        self.next_seconds_between_status_checks = min(RESULT_CHECK_S, self.queue_pause_s)

    # --- submission --------------------------------------------------------------------------------------------------

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job, or attach to it."""
        self.run_jobs([job])

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Attach to the jobs that an earlier Snakemake left; submit the others, those of one shape together."""
        for job in jobs:
            self.run_job_pre(job)
        attached = self._attach(jobs)
        groups: dict[str, tuple[dict[str, Any], list[tuple[JobExecutorInterface, SnakemakeJob]]]] = {}
        for job in jobs:
            if job in attached:
                continue
            try:
                shape, call = submission_parameters(job, self.settings), self._call(job)
            except WorkflowError as error:
                self._fail(job, str(error))
                continue
            groups.setdefault(json.dumps(shape, sort_keys=True), (shape, []))[1].append((job, call))
        size = self.settings.array_size if self.settings.cluster == "slurm" else 1
        for shape, group in groups.values():
            for start in range(0, len(group), size):
                self._submit(shape, group[start : start + size])

    def _call(self, job: JobExecutorInterface) -> SnakemakeJob:
        """Return what submitit shall run; on this machine, jobs are given different GPUs."""
        from snakemake_executor_plugin_submitit.job import SnakemakeJob

        number = 0 if self.settings.cluster == "slurm" else int(job.resources.get("gpu", 0))
        devices = self.gpus.take(number) if number else None
        return SnakemakeJob(
            self.format_job_exec(job), grace_s(self.settings), devices, max_restarts=self.settings.max_restarts
        )

    def _submit(self, shape: dict[str, Any], group: list[tuple[JobExecutorInterface, SnakemakeJob]]) -> None:
        cluster, most = self.settings.cluster, self.settings.max_requeues
        submissions: list[Submission] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = mkdtemp(prefix=f"{group[0][0].name}-", dir=self.folder)
            tickets = self._write_tickets(group, folder)
            with clusters.interrupt_deferred():
                handles = clusters.submit(cluster, Path(folder), shape, [call for _, call in group], max_requeues=most)
                for (job, _), unnumbered, handle in zip(group, tickets, handles, strict=True):
                    ticket = replace(unnumbered, job_id=str(handle.job_id))
                    submission = Submission(job, job_key(job), ticket, handle if cluster == "debug" else None)
                    if submission.debug is None:
                        self.tickets.write(submission.key, ticket)
                    self.submissions[ticket.job_id] = submission
                    submissions.append(submission)
        # Whatever submitit, sbatch or the file system objects to. Tickets stay: SLURM may have taken the jobs.
        except Exception as error:
            for job, call in group[len(submissions) :]:
                self.gpus.give_back(call.devices or ())
                self._fail(job, f"submission failed: {error}")
        for submission in submissions:
            self._follow(submission, "submitted as")

    def _write_tickets(self, group: list[tuple[JobExecutorInterface, SnakemakeJob]], folder: str) -> list[Ticket]:
        """Return the tickets of jobs that are about to be submitted; on disk if the jobs can outlive this process."""
        cluster, tickets = self.settings.cluster, []
        for number, (job, call) in enumerate(group):
            outputs, task = [str(path) for path in job.output], str(number) if len(group) > 1 else ""
            tickets.append(Ticket("", cluster, folder, job_work(job), list(call.devices or ()), outputs, task))
            if cluster != "debug":
                self.tickets.write(job_key(job), tickets[-1])
        return tickets

    def _fail(self, job: JobExecutorInterface, message: str) -> None:
        self.report_job_error(SubmittedJobInfo(job), msg=f"{message}\n")

    def _follow(self, submission: Submission, how: str) -> None:
        self.logger.info(f"Job {submission.job.jobid} {how} {submission.name}.")
        self.report_job_submission(SubmittedJobInfo(submission.job, submission.ticket.job_id))

    def get_job_args(self, job: JobExecutorInterface, **_: Any) -> str:
        """Return the arguments of the Snakemake in the job.

        Unlike those of the base class they name nothing in Snakemake's temporary folder, which is gone when a job
        starts that Snakemake detached from.
        """
        arguments: str = RealExecutor.get_job_args(self, job, cores=job.threads)
        files = [str(path) for path in job.get_wait_for_files()]
        if len(files) <= MOST_ARGUMENTS:
            return " ".join([arguments, "--wait-for-files", *map(shlex.quote, files)]) if files else arguments
        self.folder.mkdir(parents=True, exist_ok=True)
        listed = self.folder / f"{job_key(job)}.inputs"
        listed.write_text("\n".join(files) + "\n", encoding="utf-8")
        return f"{arguments} --wait-for-files-file {shlex.quote(str(listed))}"

    # --- attaching ---------------------------------------------------------------------------------------------------

    def _attach(self, jobs: Iterable[JobExecutorInterface]) -> set[JobExecutorInterface]:
        """Follow the jobs that still run or left a good result since an earlier Snakemake; return them."""
        left = [submission for job in jobs if (submission := self._left_behind(job)) is not None]
        found = [submission for submission in left if submission.ticket.job_id]
        running = self._running(found)
        attached, outdated = set(), self._cut_short(left)
        for submission in outdated:
            self.logger.info(f"Cancelled {submission.name}: its submission was cut short.")
        for submission in found:
            ticket = submission.ticket
            finished = clusters.read_result(ticket) == 0 and all(Path(path).exists() for path in ticket.outputs)
            if ticket.work == job_work(submission.job) and (ticket.job_id in running or finished):
                self.submissions[ticket.job_id] = submission
                self.gpus.uses.update(ticket.devices)
                self._follow(submission, "attached to")
                attached.add(submission.job)
            elif ticket.job_id in running:
                before = "it was cancelled before" if ticket.work == CANCELLED else "it does something else than asked"
                self.logger.info(f"Cancelled {submission.name}: {before}. Waiting for its end.")
                outdated.append(submission)
        self._end(outdated)
        while self._running(outdated):  # they write the files that their successors will write
            time.sleep(1)
        for submission in left:
            if submission.job not in attached:
                self.tickets.remove(submission.key)
        return attached

    def _left_behind(self, job: JobExecutorInterface) -> Submission | None:
        """Return what an earlier Snakemake submitted for a job."""
        key = job_key(job)
        try:
            ticket = self.tickets.read(key)
        except TicketError as error:
            self.logger.error(f"{error}: if its job still runs, Snakemake does not know of it.")
            self.tickets.remove(key)
            return None
        if ticket is None:
            return None
        if not ticket.job_id and (job_id := clusters.find_job_id(ticket)):
            ticket = replace(ticket, job_id=job_id)
            self.tickets.write(key, ticket)
        return Submission(job, key, ticket)

    def _cut_short(self, submissions: Iterable[Submission]) -> list[Submission]:
        """Return those that SLURM took although their submission did not come to its end, with their numbers."""
        cut = {
            (submission.ticket.folder, submission.ticket.task): submission
            for submission in submissions
            if submission.ticket.cluster == "slurm" and not submission.ticket.job_id
        }
        if not cut:
            return []
        taken = []
        for job_id, folder in self._ask(liveness.slurm_folders, "which jobs it took from an earlier Snakemake").items():
            submission = cut.get((folder, job_id.partition("_")[2]))
            if submission is not None:
                taken.append(replace(submission, ticket=replace(submission.ticket, job_id=job_id)))
        return taken

    def _ask(self, question: Callable[[], T | None], what: str) -> T:
        """Return SLURM's answer; wait for it."""
        asked = False
        while (answer := question()) is None:
            if not asked:
                asked = True
                self.logger.info(
                    f"squeue does not answer: waiting to learn {what}. Deleting {self.tickets.folder} forgets them."
                )
            time.sleep(1)
        return answer

    def _running(self, submissions: Iterable[Submission]) -> set[str]:
        """Return the ids of the jobs that are queued or running; wait until SLURM tells."""
        tickets = [submission.ticket for submission in submissions]
        local = [ticket for ticket in tickets if ticket.cluster == "local"]
        running = {ticket.job_id for ticket in local if liveness.process_runs(ticket.job_id, ticket.folder)}
        left = {ticket.job_id for ticket in tickets if ticket.cluster == "slurm"}
        watch = liveness.Watch()
        while left:
            queue = self._ask(liveness.slurm_queue, f"whether SLURM jobs {', '.join(sorted(left))} still run")
            found = left & queue.keys()
            running |= found
            left -= found | watch.gone(left, queue)
            if left:
                time.sleep(1)
        return running

    # --- watching ----------------------------------------------------------------------------------------------------

    async def check_active_jobs(  # type: ignore[override]  # the interface awaits an iterator, but declares another type
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncIterator[SubmittedJobInfo]:
        """Report the jobs that ended; yield the others."""
        gone = (
            self._gone([self.submissions[str(info.external_jobid)] for info in active_jobs]) if active_jobs else set()
        )
        for info in active_jobs:
            submission = self.submissions[str(info.external_jobid)]
            result = None if self.cancelled else self._result(submission)
            if result is None and submission.ticket.job_id in gone:
                result = f"ended without a result, {self._fate(submission)}"
            if self.cancelled or result is None:
                yield info
            else:
                self._report(info, submission, result)

    def _gone(self, submissions: Iterable[Submission]) -> set[str]:
        """Return the ids of the jobs that do not run any more."""
        tickets = [submission.ticket for submission in submissions]
        local = [ticket for ticket in tickets if ticket.cluster == "local"]
        gone = {ticket.job_id for ticket in local if not liveness.process_runs(ticket.job_id, ticket.folder)}
        slurm = {ticket.job_id for ticket in tickets if ticket.cluster == "slurm"}
        if slurm and time.monotonic() - self.queue_asked >= self.queue_pause_s:
            self.queue_asked = time.monotonic()
            queue = liveness.slurm_queue()
            gone |= self.watch.gone(slurm, queue)
            self._tell_restarts(slurm, queue or {})
        return gone

    def _tell_restarts(self, job_ids: set[str], queue: dict[str, liveness.Queued]) -> None:
        for job_id in job_ids & queue.keys():
            submission, queued = self.submissions[job_id], queue[job_id]
            if queued.restarts > submission.restarts:
                submission.restarts = queued.restarts
                limit = f"at most {self.settings.max_requeues} after the time limit"
                self.logger.info(
                    f"{submission.name} was requeued: restart {queued.restarts} ({limit}), {queued.state}."
                )

    def _result(self, submission: Submission) -> int | str | None:
        if submission.debug is None:
            return clusters.read_result(submission.ticket)
        error = submission.debug.exception()  # runs the job
        return str(error) if error else int(submission.debug.result())

    def _fate(self, submission: Submission) -> str:
        if submission.ticket.cluster == "slurm":
            return liveness.slurm_fate(submission.ticket.job_id)
        return "its process was killed or reached its time limit"

    def _report(self, info: SubmittedJobInfo, submission: Submission, result: int | str) -> None:
        self.tickets.remove(submission.key)
        del self.submissions[submission.ticket.job_id]
        self.gpus.give_back(submission.ticket.devices)
        if result == 0:
            self.report_job_success(info)
            return
        why = _ending(result) if isinstance(result, int) else result.rstrip(".")
        self.report_job_error(info, msg=f"{submission.name}: {why}. ", aux_logs=clusters.log_files(submission.ticket))

    # --- cancelling --------------------------------------------------------------------------------------------------

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel all submitted jobs, or leave them to the next Snakemake."""
        self.cancelled = True
        detach = self.settings.on_cancel == "detach"
        submissions = list(self.submissions.values())
        ended = [submission for submission in submissions if submission.debug is not None or not detach]
        self._end(ended)  # before any message: the terminal's Ctrl-C may have ended who reads it
        for submission in ended:
            if submission.ticket.cluster == "slurm":  # may be saving its state still: the next Snakemake waits for that
                self.tickets.write(submission.key, replace(submission.ticket, work=CANCELLED))
            else:
                self.tickets.remove(submission.key)
        self.logger.info(f"Cancelled {len(ended)} jobs.")
        if detach:
            left = len(submissions) - len(ended)
            self.logger.info(f"Detached from {left} jobs: they go on, and the same command attaches to them.")

    def _end(self, submissions: Iterable[Submission]) -> None:
        """End jobs wherever they run."""
        from snakemake_executor_plugin_submitit.job import end

        tickets = [submission.ticket for submission in submissions]
        clusters.cancel_slurm([ticket.job_id for ticket in tickets if ticket.cluster == "slurm"])
        end([int(ticket.job_id) for ticket in tickets if ticket.cluster == "local"], self.settings.grace_period)
        for submission in submissions:
            if submission.debug is not None:
                submission.debug.submission().function.stop()


def _ending(status: int) -> str:
    """Return what an exit status tells of the Snakemake in a job; a shell adds 128 to the number of a signal."""
    signum = -status if status < 0 else status - 128
    if signum == signal.SIGKILL:
        return "Snakemake in it was killed, as happens when memory runs out"
    return (
        f"Snakemake in it was ended by signal {signum}" if signum > 0 else f"Snakemake in it failed (status {status})"
    )
