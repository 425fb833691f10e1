"""`WidthVector`: what every width optimiser returns, and a file of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from awnlib.budget import rounded_counts
from awnlib.files import atomic_path, why_unreadable
from awnlib.models import SlimmableModel, create_model
from awnlib.settings import ConfigError, Settings, parse


class Network(Settings):
    """The un-optimised network that a width vector refers to.

    Attributes
    ----------
    name
        One of `awnlib.models.model_names()`.
    depth_mult
        Blocks in each stage relative to the plain network.
    counts
        Channels by name: the $F_i$ of Width Transfer, section 3.1.
    """

    name: str
    depth_mult: int = Field(default=1, ge=1)
    counts: dict[str, int] = Field(min_length=1)

    @classmethod
    def of(cls, model: SlimmableModel) -> Network:
        """Return the description of a network with its channels at full width."""
        counts = {name: channels.full for name, channels in model.channels.items()}
        return cls(name=model.spec.name, depth_mult=model.spec.depth_mult, counts=counts)

    @property
    def title(self) -> str:
        """The name in messages: "resnet18 (depth_mult 2)"."""
        return f"{self.name} (depth_mult {self.depth_mult})"

    def check_names(self, what: str, names: Mapping[str, Any]) -> None:
        """Raise a ValueError that lists what is missing and unknown unless the network's dimensions are named."""
        if set(names) != set(self.counts):
            raise ValueError(f"{what} does not fit {self.title}: {_difference(self.counts, names)}")


class WidthVector(Settings):
    """A multiplier for each dimension of a network.

    Attributes
    ----------
    network
        What the multipliers are relative to.
    multipliers
        $w_i$ by name, for all of the network's dimensions.
    counts
        $w_i F_i$ rounded, halves up, and at least 1. It may be left out: it follows from the other two.
    provenance
        Where the vector comes from: the optimiser, its settings, the data; anything that JSON can hold.

    Raises
    ------
    ValueError
        If dimensions are missing or unknown, a multiplier is not positive, or counts are not those of the multipliers.
    """

    network: Network
    multipliers: dict[str, float]
    counts: dict[str, int] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> WidthVector:
        self.network.check_names("a width vector", self.multipliers)
        for name, multiplier in self.multipliers.items():
            if multiplier <= 0:
                raise ValueError(f"the multiplier of {name} must be above 0, found {multiplier:g}")
        counts = rounded_counts(self.multipliers, self.network.counts)
        if self.counts and self.counts != counts:
            raise ValueError(f"counts must be those of the multipliers ({counts}), found {self.counts}")
        object.__setattr__(self, "counts", counts)  # frozen: set once, here
        return self

    @classmethod
    def from_counts(
        cls, network: Network, counts: Mapping[str, int], provenance: Mapping[str, Any] | None = None
    ) -> WidthVector:
        """Return the vector of given channel counts: each divided by that of the un-optimised network.

        Raises
        ------
        ValueError
            If dimensions are missing or unknown, or a count is below 1.
        """
        network.check_names("a mapping of counts", counts)
        multipliers = {name: counts[name] / full for name, full in network.counts.items()}
        return cls(network=network, multipliers=multipliers, provenance=dict(provenance or {}))

    def check_fits(self, model: SlimmableModel) -> None:
        """Raise a ValueError, with both names and the dimensions that differ, if the vector is for another network.

        A network of other counts but the same dimensions is not another one.
        """
        other = Network.of(model)
        if (self.network.name, self.network.depth_mult) != (other.name, other.depth_mult):
            raise ValueError(
                f"a width vector of {self.network.title} cannot be used for {other.title}: "
                + _difference(other.counts, self.multipliers)
            )
        other.check_names("a width vector", self.multipliers)

    def build(self, num_classes: int, input_shape: tuple[int, int, int], **options: Any) -> SlimmableModel:
        """Return an ordinary network of these counts, to be trained from scratch: sliced layers, one shared norm.

        Parameters
        ----------
        num_classes, input_shape
            Of the data.
        **options
            Other fields of `awnlib.models.ModelSpec`, or other values than a plain network's.

        Raises
        ------
        ValueError
            If the model is unknown or has other dimensions.
        """
        plain = {"layer": "sliced", "norm": "shared", "min_width_mult": 1.0}
        model = create_model(
            self.network.name,
            **{
                **plain,
                "depth_mult": self.network.depth_mult,
                "num_classes": num_classes,
                "input_shape": input_shape,
                "channels": self.counts,
                **options,
            },
        )
        self.check_fits(model)
        return model

    def save(self, path: str | Path) -> None:
        """Write the vector as JSON, atomically."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> WidthVector:
        """Read what `save` wrote.

        Raises
        ------
        ConfigError
            If the file cannot be read, is not JSON or holds no width vector; the message names every wrong key.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError([why_unreadable(path, error)], str(path)) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([f"not valid JSON: {error}"], str(path)) from None
        return parse(cls, data, origin=str(path))


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return which names are missing and which are unknown, in words."""
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    words = [f"{label} {', '.join(names)}" for label, names in (("missing", missing), ("unknown", unknown)) if names]
    return "; ".join(words) or "the dimensions have the same names"
