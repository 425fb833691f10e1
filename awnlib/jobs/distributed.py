"""Training in several processes on one machine, a device for each: the same work in all of them, and averages.

`launch` starts the processes. They are plain interpreters and no forks, and import nothing of the caller's main module,
so that scripts, notebooks and workflow jobs can call it. Without it every function here does nothing.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from awnlib.jobs.interrupt import TERMINATED, sigterm_blocked, sigterm_noticed
from awnlib.jobs.memory import keep_freed_memory

T = TypeVar("T")
WORK, RESULT, ERROR, STORE = "work", "result", "error", "store"
START = "import sys; from awnlib.jobs.distributed import _run; _run(*sys.argv[1:])"
POLL_S = 0.1


def rank() -> int:
    """Return the number of this process, from 0; process 0 writes what the others need not write again."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_processes() -> int:
    """Return how many processes `launch` started, 1 without it."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their means over all processes, in one exchange of all their numbers.

    Parameters
    ----------
    tensors
        Floating-point tensors on the process's device, of the same shapes in every process.
    """
    if num_processes() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= num_processes()
    means = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, means, strict=True):
        tensor.copy_(mean.view(tensor.shape))


def launch(work: Callable[..., T], count: int, device: torch.device) -> T:
    """Do the same work in several processes and return what process 0 returned.

    Parameters
    ----------
    work
        Called as `work(device=...)` in every process. It travels as a file, tensors included, which all processes map
        into their memory; so it must be picklable, and so must its result.
    count
        Number of processes, 2 or more. The threads of this process are divided among them.
    device
        Of type "cuda": process i works on CUDA device i, and averages go through NCCL; "cpu": through Gloo. Tensors
        of the result are moved to this device.

    Raises
    ------
    ValueError
        If there are fewer CUDA devices than processes.
    RuntimeError
        If a process is ended from outside.
    Exception
        What the work raised in the process that failed first. The others are ended.
    SystemExit
        With status 143 after SIGTERM. It is passed on to process 0, which may save its state.
    """
    if device.type == "cuda" and torch.cuda.device_count() < count:
        raise ValueError(f"train.num_processes is {count}, but torch sees {torch.cuda.device_count()} CUDA devices")
    with TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(work, folder / WORK)
        threads = max(torch.get_num_threads() // count, 1)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for index in range(count):
                # Only process 0 saves its state and stops; if others stopped before it, it could not finish its step.
                with sigterm_blocked() if index > 0 else nullcontext():
                    processes.append(_start(folder, index, count, device.type, threads))
            _wait(processes, folder)
        finally:
            for process in processes:
                process.kill()  # does nothing to one that has ended
                process.communicate()
        result: T = torch.load(folder / RESULT, map_location=device, weights_only=False)
        return result


def _start(*arguments: object) -> subprocess.Popen[bytes]:
    """Start one process, which finds the same modules as this one, and out of reach of this one's signals."""
    return subprocess.Popen(
        [sys.executable, "-c", START, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _wait(processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """Wait for all processes to succeed or for the first one to fail."""
    asked = False
    with sigterm_noticed() as terminated:
        while not all(process.poll() == 0 for process in processes):
            if terminated.is_set() and not asked:
                processes[0].terminate()
                asked = True
            failed = any(process.poll() for process in processes)
            time.sleep(POLL_S)
            if failed:  # and by now so has the process that the others lost, if it was another one
                raise _error(
                    {index: code for index, process in enumerate(processes) if (code := process.poll())}, folder
                )


def _error(failed: dict[int, int], folder: Path) -> BaseException:
    """Return what went wrong first, from the exit statuses of the processes that have failed.

    A process that was killed cannot say so; others that raised something had lost their connection to it.
    """
    if failed.get(0) in (TERMINATED, -signal.SIGTERM):
        return SystemExit(TERMINATED)
    for index, code in failed.items():
        if code < 0:
            return RuntimeError(f"training process {index} was ended by {signal.Signals(-code).name}")
    if (folder / ERROR).exists():
        error: Exception = pickle.loads((folder / ERROR).read_bytes())
        return error
    return RuntimeError(f"training process {min(failed)} ended with status {failed[min(failed)]}")


def _run(folder: str, index: str, count: str, device_type: str, threads: str) -> None:
    """Do the work of one process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(int(threads))
    keep_freed_memory()
    device = torch.device(device_type, int(index)) if device_type == "cuda" else torch.device(device_type)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        work: Callable[..., Any] = torch.load(Path(folder, WORK), mmap=True, weights_only=False)
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend,
            init_method=f"file://{Path(folder, STORE)}",
            rank=int(index),
            world_size=int(count),
            device_id=device if backend == "nccl" else None,
        )
        result = work(device=device)
        if int(index) == 0:
            torch.save(result, Path(folder, RESULT))
        dist.destroy_process_group()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except Exception as error:
        traceback.print_exc()
        _report(error, Path(folder, ERROR))
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # does not wait for the exchanges of this process's group, in which others may never take part


def _report(error: Exception, path: Path) -> None:
    """Leave an error for the parent, unless another process failed before: that one is the cause."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
    except Exception:
        content = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    temporary = path.with_name(f"{path.name}-{os.getpid()}")
    temporary.write_bytes(content)
    with suppress(FileExistsError):
        os.link(temporary, path)


def _end_with_parent() -> None:
    """Wait for the end of the parent, whose end of the pipe closes with it, and end too."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)
