"""What the command line of `python -m benchmarks.gpu` says, as each of its processes is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

DATASETS = ("fashion_mnist", "cifar10", "cifar100")
DIGITS = "digits"  # what `tiny` trains on: they come with a package


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    out
        Folder of all results.
    data
        Folder of data sets: prepared (`<name>.safetensors`), parquet files in `<name>/`, or original files; None:
        `AWN_DATA`, else `./data`.
    device
        "cuda" or "cpu".
    datasets
        Names in awnlib/papers/any_width_networks/setting.yaml.
    seeds, at_a_time
        Trainings of each cell, in order, and how many run at once.
    mobilenet_epochs
        The schedule of MobileNetV2, which takes up to 1050 epochs in the paper.
    studies
        Files of further studies of widths, trained as they say but for the device.
    tiny
        The smallest sizes, to see that everything runs.
    """

    out: Path
    data: Path | None
    device: str = "cuda"
    datasets: tuple[str, ...] = DATASETS
    seeds: int = 3
    at_a_time: int = 1
    mobilenet_epochs: int = 10
    studies: tuple[str, ...] = ()
    tiny: bool = False

    def asked(self) -> dict[str, object]:
        """Return what decides what is measured: not where things are, nor how many trainings run at once."""
        unseen = {"out", "data", "at_a_time"}
        return {name: value for name, value in json.loads(self.as_json()).items() if name not in unseen}

    def as_json(self) -> str:
        """Return all settings as text."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return the settings that `as_json` wrote."""
        found = json.loads(text)
        paths = {name: found[name] and Path(found[name]) for name in ("out", "data")}
        lists = {name: tuple(found[name]) for name in ("datasets", "studies")}
        return cls(**{**found, **paths, **lists})
