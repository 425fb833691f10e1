"""A private SLURM on this machine: real daemons on the loopback device, all files in one folder, pretended hardware.

`python -m tests.slurm.cluster` starts one and prints what a shell needs to use it; Ctrl-C stops it. It needs root and
Debian's packages; nothing outside its folder is read or written, so that it lives beside any other SLURM.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PACKAGES = (
    *("munge", "slurmctld", "slurmd", "slurm-client"),
    *("slurmdbd", "mariadb-server-core", "mariadb-client-core"),  # accounting
)
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "slurmdbd", "mariadbd", "mariadb", "mariadb-install-db")
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
GPU_DEVICES = ("/dev/full", "/dev/null", "/dev/random", "/dev/zero")  # SLURM takes any character device for a GPU
CPUS, MEMORY_MB = 8, 16000

# Everything that waits does so for seconds instead of minutes. `cred_expire` is also how long a requeued job waits.
SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
{accounting}
NodeName={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=10 PreemptMode=REQUEUE GraceTime=10 State=UP
PartitionName=high Nodes=ALL Default=NO PriorityTier=20 PreemptMode=OFF State=UP
"""
NO_ACCOUNTING = """\
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none"""
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={database_port}
AccountingStoragePass={folder}/munge/socket
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={database_port}
CommunicationParameters=NoInAddrAny
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct
"""
# A database that nobody will miss need not reach the disk.
MARIADB = (
    *("--no-defaults", "--user=root", "--datadir={folder}/mysql", "--innodb-flush-method=nosync"),
    *("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite", "--innodb-log-file-size=8M"),
)


class ClusterError(RuntimeError):
    """The packages are not there, or a daemon did not come up."""


def missing() -> str | None:
    """Return why no cluster can be started here, None if one can."""
    if os.geteuid() != 0:
        return "a private SLURM needs root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
    return f"SLURM is not installed ({', '.join(absent)}): AWN_SLURM=install installs it" if absent else None


def install() -> None:
    """Install the packages with apt; raise a `ClusterError` with the reason if that does not work."""
    if os.geteuid() != 0:
        raise ClusterError("to install SLURM needs root")
    _apt_get("update")
    _apt_get("install", "--yes", "--no-install-recommends", *PACKAGES)


def _apt_get(*arguments: str) -> None:
    command = ["apt-get", "-qq", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)
    except FileNotFoundError:
        raise ClusterError("there is no apt-get to install SLURM with") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"apt-get {arguments[0]} took longer than five minutes") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise ClusterError(f"apt-get {arguments[0]} failed: {last}") from None


class Cluster:
    """A node of pretended cores and GPUs, with a partition `low`, the default, and `high`, which preempts it.

    Parameters
    ----------
    accounting
        Whether there is a database of jobs, so that `sacct` works.

    Attributes
    ----------
    folder
        Configuration, state and logs; gone when the cluster is stopped.
    environment
        The environment that processes need to use the cluster.
    """

    def __init__(self, *, accounting: bool = True) -> None:
        self.accounting = accounting
        self._temporary = tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.environment = {**os.environ, "PATH": SEARCHED, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        """Start all daemons and wait until jobs can be submitted."""
        try:
            self._configure()
            self._start_munge()
            if self.accounting:
                self._start_accounting()
            self.start_controller()
            self._start("slurmd", "slurmd", "-D", "-f", str(self.folder / "slurm.conf"))
            self._wait("node", lambda: self.run("sinfo", "-h", "-o", "%T").strip() == "idle")
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel all jobs, then stop what was started."""
        with suppress(subprocess.CalledProcessError):
            self.cancel_all()
        self._stop_all()

    def run(self, *command: str, **options: str) -> str:
        """Run a client of SLURM and return what it prints; raise a `CalledProcessError` if it fails."""
        environment = {**self.environment, **options}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def jobs(self) -> dict[str, str]:
        """Return the state of every job that is not over, by id; tasks of arrays one by one."""
        lines = self.run("squeue", "-h", "-r", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def cancel_all(self, seconds: float = 30) -> None:
        """Cancel all jobs and wait until they are over."""
        if self.jobs():
            self.run("scancel", *self.jobs())
        self._wait("end of all jobs", lambda: not self.jobs(), seconds)

    def start_controller(self) -> None:
        """Start slurmctld; after `stop_controller`, with all jobs it knew."""
        self._start("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        self._wait("slurmctld", lambda: "UP" in self.run("scontrol", "ping"))

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs go on."""
        self._stop("slurmctld")

    def _configure(self) -> None:
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)  # munged refuses a socket that others cannot reach
        (self.folder / "munge").chmod(0o755)
        controller_port, node_port, database_port = _free_ports(3)
        values = {"folder": self.folder, "host": socket.gethostname().split(".")[0], "database_port": database_port}
        accounting = (ACCOUNTING if self.accounting else NO_ACCOUNTING).format(**values)
        values |= {"name": f"awn{controller_port}", "controller_port": controller_port, "node_port": node_port}
        values |= {"cpus": CPUS, "memory": MEMORY_MB, "gpus": len(GPU_DEVICES), "accounting": accounting}
        self._write("slurm.conf", SLURM_CONF.format(**values), 0o644)
        self._write("slurmdbd.conf", SLURMDBD_CONF.format(**values), 0o600)
        self._write("gres.conf", "".join(f"Name=gpu File={device}\n" for device in GPU_DEVICES), 0o644)
        (self.folder / "munge" / "key").write_bytes(os.urandom(1024))
        (self.folder / "munge" / "key").chmod(0o600)
        self.name = str(values["name"])

    def _write(self, name: str, text: str, mode: int) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def _start_munge(self) -> None:
        names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        files = [f"--{option}={self.folder / 'munge' / name}" for option, name in names.items()]
        self._start("munged", "munged", "--foreground", *files)
        self._wait("munged", lambda: stat.S_ISSOCK((self.folder / "munge" / "socket").stat().st_mode))

    def _start_accounting(self) -> None:
        options = [option.format(folder=self.folder) for option in MARIADB]
        self.environment["MYSQL_UNIX_PORT"] = str(self.folder / "mysql.sock")
        self.run("mariadb-install-db", *options, "--auth-root-authentication-method=socket", "--skip-test-db")
        self._start("mariadbd", "mariadbd", *options, f"--socket={self.folder}/mysql.sock", "--skip-networking")
        self._wait("mariadbd", lambda: self.run("mariadb", "--no-defaults", "-uroot", "-e", "select 1"))
        self._start("slurmdbd", "slurmdbd", "-D")
        self._wait("slurmdbd", lambda: self.run("sacctmgr", "-i", "add", "cluster", self.name))

    def _start(self, name: str, *command: str) -> None:
        """Start a daemon that ends with this process, however this process ends."""
        with (self.folder / f"{name}.out").open("wb") as output:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _wait(self, what: str, condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with suppress(subprocess.CalledProcessError, FileNotFoundError):
                if condition():
                    return
            over = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if over or time.monotonic() > deadline:
                raise ClusterError(f"waited in vain: {what}; daemons that ended: {over}\n{self._logs()}")
            time.sleep(0.05)

    def _logs(self) -> str:
        files = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        return "\n".join(f"{file}:\n{file.read_text(errors='replace')[-1500:]}" for file in files)

    def _stop(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(timeout=15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _stop_all(self) -> None:
        for name in reversed(list(self._daemons)):
            self._stop(name)
        self._temporary.cleanup()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    """Run a cluster until Ctrl-C."""
    reason = missing()
    if reason:
        install()
    with Cluster() as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
