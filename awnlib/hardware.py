"""What the machine has, without importing torch: the workflow asks before any job starts."""

from __future__ import annotations

from pathlib import Path

NVIDIA_DEVICE = Path("/dev/nvidia0")  # there as soon as the driver runs


def wants_gpu(device: str) -> bool:
    """Whether the jobs of a study with this `device` need a GPU here: "cuda", or "auto" where there is one."""
    return device == "cuda" or (device == "auto" and NVIDIA_DEVICE.exists())
