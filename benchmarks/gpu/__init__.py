"""What a borrowed GPU should measure, as one command: `python -m benchmarks.gpu --out results/gpu`.

It consists of parts, each in a process of its own with a time limit. A part writes its results as it goes, skips what
it did before, and goes on where an earlier call stopped; one that fails does not stop the others. Snakemake is not
needed: the jobs of a study are functions of the library.
"""

from typing import NamedTuple


class Part(NamedTuple):
    """A module of this package, what it measures, and the share of the total time that parts before it leave it."""

    module: str
    title: str
    share: float


PARTS = {
    "checks": Part("checks", "Tests on this machine", 0.2),
    "ratios": Part("ratios", "Speed beside what one would run instead", 0.25),
    "lenet_3c1l": Part("trainings", "Table 2 of Any-Width Networks: LeNet-3C1L, the paper's schedules", 0.25),
    "mobilenet_v2": Part("trainings", "Table 2 of Any-Width Networks: MobileNetV2, a shorter schedule", 0.1),
    "studies": Part("trainings", "Studies of `--studies`", 0.1),
    "latency": Part("latency", "Inference at each width", 0.1),
}
INCOMPLETE = 4  # exit status of a part that could not do all, because of what this machine lacks
