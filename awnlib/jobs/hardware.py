"""What the machine has, without importing torch: the workflow asks before any job starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from awnlib.settings import ConfigError

NVIDIA_DEVICE = Path("/dev/nvidia0")  # there as soon as the driver runs
CPU_INFO = Path("/proc/cpuinfo")
# What one may tell oneDNN, which computes torch's convolutions, to use at most, in either name and in any case.
MOST_INSTRUCTIONS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def wants_gpu(device: str) -> bool:
    """Whether the jobs of a study with this `device` need a GPU here: "cuda", or "auto" where there is one."""
    return device == "cuda" or (device == "auto" and NVIDIA_DEVICE.exists())


def check_gpus(rule: str, num_gpus: int | None, num_processes: int) -> None:
    """Check the GPUs that a profile gives every job of a rule, in place of the rule's own number; None: it does not.

    Raises
    ------
    ConfigError
        If they are some, but fewer than the processes of a training. (0 is for profiles that ask in another way.)
    """
    if num_gpus is not None and 0 < num_gpus < num_processes:
        raise ConfigError(
            [
                f"train.num_processes is {num_processes}, but the profile's set-resources give each job of {rule} gpu: "
                f"{num_gpus}; it must be gpu: {num_processes} there, or more"
            ]
        )


def cpu_features() -> frozenset[str] | None:
    """Return which of "avx512" and "bfloat16" (arithmetic, not storage alone) convolutions use on this CPU.

    Less than the CPU has if `ONEDNN_MAX_CPU_ISA` says so. None if the system does not tell (it is not Linux).
    """
    limit = next((os.environ[name] for name in MOST_INSTRUCTIONS if name in os.environ), "")
    try:
        return _features(CPU_INFO.read_text(encoding="utf-8"), limit.upper())
    except OSError:
        return None


def warn_of_slow_bfloat16(precisions: Iterable[str], device: str) -> None:
    """Say on stderr, once in a process, that `precision: bfloat16` makes training slower on this CPU, if it does.

    Parameters
    ----------
    precisions
        Of the trainings and searches that are about to start.
    device
        Where they will run: a study's `device`, or the type of a torch device.
    """
    features = cpu_features()
    if "bfloat16" in precisions and not wants_gpu(device) and features is not None and "bfloat16" not in features:
        _say_once(
            "precision: bfloat16 is far slower than float32 on this CPU, which has no instructions for it "
            "(avx512_bf16, amx_bf16 or bf16 in /proc/cpuinfo) or must not use them (ONEDNN_MAX_CPU_ISA): with AVX2 a "
            "training step took 11 times as long. Use float32 here."
        )


@lru_cache
def _features(cpu_info: str, limit: str) -> frozenset[str]:
    """Return the features from the text of /proc/cpuinfo and the name of the most that oneDNN may use."""
    lines = (line.partition(":") for line in cpu_info.splitlines())
    flags = {flag for key, _, value in lines if key.strip() in ("flags", "Features") for flag in value.split()}
    wide, exact = "avx512f" in flags, bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    if limit.startswith(("SSE", "AVX")):  # other values mean all there is; they do not exist on ARM
        newer = limit.startswith("AVX10")
        wide &= newer or limit.startswith("AVX512_CORE")
        exact &= newer or limit.startswith(("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX"))
    return frozenset(name for name, there in (("avx512", wide), ("bfloat16", exact)) if there)


@lru_cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
