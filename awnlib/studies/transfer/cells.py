"""What a width-transfer study consists of: axes, and the searches and retrainings that they need.

What several axes need is done once: a `Search` is named by its training configuration, optimiser and seed, a
`Retraining` by its target and where its widths come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from awnlib.width_transfer.projection import Projection

Stacking = Literal["average_block", "last_block"]
UNIFORM, NONE = "uniform", "none"
"""The un-optimised baseline, in the place of an optimiser; no extrapolation over depth."""
COMPARISON = "comparison"
"""The kind of what a comparison of data sets trains, beside the kinds of axes."""


class Configuration(Projection):
    """A training configuration: what is multiplied, resized and left out."""

    width_mult: float = Field(default=1.0, gt=0, description="width of all layers, relative to the plain network")
    depth_mult: int = Field(default=1, ge=1, description="blocks in each stage, relative to the plain network")
    image_size: int | None = Field(default=None, ge=8, description="resize to this; null: as the data set says")
    data_share: float = Field(default=1.0, gt=0, le=1, description="share of the training images")

    @property
    def name(self) -> str:
        """A part of a path: ``w0.5-d1-r64-s0.1``, the resolution only if one is given."""
        size = "" if self.image_size is None else f"-r{self.image_size}"
        return f"w{self.width_mult:g}-d{self.depth_mult}{size}-s{self.data_share:g}"

    def projected(self, projection: Projection) -> Configuration:
        """Return the configuration with what a projection has in its place."""
        return self.model_copy(update=projection.model_dump(exclude_none=True))


def configuration_title(name: str) -> str:
    """Return a configuration for readers, from its name: ``w0.5-d2-r64-s0.1`` is "0.5x wide, 2x deep, 64 px, 10 %"."""
    width, depth, *size, share = name.split("-")
    parts = [f"{width[1:]}x wide", f"{depth[1:]}x deep", *(f"{pixels[1:]} px" for pixels in size)]
    return ", ".join([*parts, f"{100 * float(share[1:]):g} % of the images"] if share != "s1" else parts)


def ratio_of_costs(target: Configuration, source: Configuration) -> float:
    """Return how many times as much a search costs in the target, if its cost follows each of the four multipliers.

    Those of width and resolution are squared, which gives the 320 times of Width Transfer, section 4.5. What does not
    follow them (colours, classes, blocks that are not repeated) makes the true factor smaller or larger: that is in the
    ledger.
    """
    sides = (target.image_size or 1) / (source.image_size or target.image_size or 1)
    depth, share = target.depth_mult / source.depth_mult, target.data_share / source.data_share
    return (target.width_mult / source.width_mult) ** 2 * depth * sides**2 * share


@dataclass(frozen=True)
class Task:
    """A network and images to train it with, in one configuration."""

    model: str
    dataset: str
    configuration: Configuration

    @property
    def name(self) -> str:
        """Part of a path: model/dataset/configuration."""
        return f"{self.model}/{self.dataset}/{self.configuration.name}"

    @property
    def images(self) -> str:
        """The name of the prepared images."""
        size = self.configuration.image_size
        return self.dataset if size is None else f"{self.dataset}@{size}"


@dataclass(frozen=True)
class Search:
    """One run of a width optimiser."""

    task: Task
    optimizer: str  # a row of `optimizers`
    seed: int

    @property
    def name(self) -> str:
        """The path below ``searches/``."""
        return f"{self.task.name}/{self.optimizer}/seed{self.seed}"


@dataclass(frozen=True)
class Retraining:
    """A network of optimised widths, or of uniform ones (no search), trained from scratch.

    `stacking` is None where source and target are equally deep.
    """

    target: Task
    search: Search | None
    stacking: Stacking | None
    seed: int

    @property
    def name(self) -> str:
        """The path below ``transferred/`` and ``retrained/``."""
        return f"{self.target.name}/{self.origin}/seed{self.seed}"

    @property
    def origin(self) -> str:
        """Where the widths come from: "uniform", or the source's configuration, optimiser and stacking."""
        if self.search is None:
            return UNIFORM
        return f"{self.search.task.configuration.name}/{self.search.optimizer}/{self.stacking or NONE}"


@dataclass(frozen=True)
class Axis:
    """An axis with all defaults filled in; `sources` begins with the target."""

    name: str
    kind: str
    target: Task
    sources: tuple[Task, ...]
    optimizers: tuple[str, ...]
    stackings: tuple[Stacking, ...]

    def retrainings(self, seeds: Iterable[int]) -> Iterator[Retraining]:
        """Yield the uniform baseline and every source's widths, for each seed, without repeats."""
        for seed in seeds:
            yield Retraining(self.target, None, None, seed)
            for optimizer in self.optimizers:
                for source in self.sources:
                    equal = source.configuration.depth_mult == self.target.configuration.depth_mult
                    for stacking in [None] if equal else self.stackings:
                        yield Retraining(self.target, Search(source, optimizer, seed), stacking, seed)
