"""What the machine has, without importing torch: the workflow asks before any job starts."""

from __future__ import annotations

from pathlib import Path

from awnlib.settings import ConfigError

NVIDIA_DEVICE = Path("/dev/nvidia0")  # there as soon as the driver runs


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
