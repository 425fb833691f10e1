"""What a model is built from, as data: saved with its weights, so that a file can be turned back into a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator
from torch import nn

from awnlib.channels import Channels, round_channels
from awnlib.layers import (
    SharedBatchNorm2d,
    SlimmableConv2d,
    SlimmableLinear,
    SwitchableBatchNorm2d,
    TriangularConv2d,
    TriangularLinear,
)
from awnlib.settings import Settings

Width = float | dict[str, float]
"""A width: one multiplier for the whole network, or one for each of its `Channels` by name."""
SMALL_IMAGE = 64
"""Up to this many pixels the first layers of deep networks keep the resolution, unless `stem` says otherwise."""


class ModelSpec(Settings):
    """Name and options of a model; its methods make the layers that the options ask for."""

    name: str
    input_shape: tuple[int, int, int] = Field(default=(1, 28, 28), strict=False, description="channels, height, width")
    num_classes: int = Field(default=10, ge=1, description="outputs: classes, or what another task asks for")
    layer: Literal["triangular", "sliced"] = "triangular"
    norm: Literal["shared", "switchable"] = "shared"
    switches: list[float] | dict[str, float] = Field(
        default_factory=lambda: [1.0, 0.75, 0.5, 0.25],
        description="widths that are trained; with a switchable norm those with statistics of their own",
    )
    affine: Literal["private", "shared"] = Field(default="private", description="switchable norm: scale and shift")
    dense_base: bool = False
    average_inputs: bool = Field(
        default=False, description="sliced networks: convolutions average over their inputs, in place of the sum"
    )
    base_width_mult: float = Field(default=1.0, gt=0, description="channel counts relative to the plain network")
    depth_mult: int = Field(default=1, ge=1, description="blocks in each stage relative to the plain network")
    slim_last: bool = Field(
        default=False, description="sliced networks: the last convolution follows the width too, where it is fixed"
    )
    stem: Literal["by_size", "small", "large"] = Field(
        default="by_size",
        description="deep networks: whether the first layers keep the resolution, as for small images",
    )
    min_width_mult: float = Field(default=0.25, gt=0, le=1)
    divisor: int = Field(default=1, ge=1)
    options: dict[str, Any] = Field(
        default_factory=dict, description="those that only this model has: its class `Options`"
    )
    channels: dict[str, int] = Field(
        default_factory=dict, description="full counts by name, in place of the model's own times base_width_mult"
    )
    paths: dict[str, list[Annotated[tuple[float, int], Strict(False)]]] = Field(
        default_factory=dict,
        description="by name, from which width on a dimension has how many channels, in place of rounding (slimming)",
    )

    @model_validator(mode="after")
    def _only_sliced_layers_average(self) -> ModelSpec:
        if self.average_inputs and self.layer != "sliced":
            raise ValueError("average_inputs is an option of sliced layers")
        return self

    @property
    def small_stem(self) -> bool:
        """Whether the first layers keep the resolution where they would reduce it for large images."""
        _, height, width = self.input_shape
        return self.stem == "small" or (self.stem == "by_size" and max(height, width) <= SMALL_IMAGE)

    def make_channels(
        self, *, factors: Mapping[str, int] | None = None, fixed: Collection[str] = (), **counts: int
    ) -> dict[str, Channels]:
        """Return one `Channels` for each of the plain network's counts.

        Parameters
        ----------
        **counts
            The plain network's channels by name.
        factors
            By name, what divides a count at every width (`awnlib.channels.Channels`), unless `channels` gives another.
        fixed
            Names of dimensions that keep all channels at every width, the plain network's number at least.

        Raises
        ------
        ValueError
            If `channels`, `paths` or `switches` name other dimensions than the model's, or a count is below 1.
        """
        switches = self.switches if isinstance(self.switches, dict) else {}
        unknown = sorted({*self.channels, *self.paths, *switches} - set(counts))
        if unknown:
            raise ValueError(f"{self.name} has no channels {', '.join(unknown)} (it has: {', '.join(counts)})")
        if switches and set(switches) != set(counts):
            raise ValueError(f"switches must name {', '.join(counts)}, found {', '.join(switches)}")
        return {
            name: self._make(name, count, factor=(factors or {}).get(name, 1), fixed=name in fixed)
            for name, count in counts.items()
        }

    def conv(
        self,
        in_channels: Channels | int,
        out_channels: Channels | int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
    ) -> SlimmableConv2d:
        """Return a convolution of the asked kind, without bias unless asked for: a norm layer would remove it."""
        shape: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups, "bias": bias}
        if self.layer == "sliced":
            averages = self.average_inputs
            return SlimmableConv2d(in_channels, out_channels, kernel_size, **shape, average_inputs=averages)
        return TriangularConv2d(in_channels, out_channels, kernel_size, **shape, dense_base=self.dense_base)

    def linear(self, inputs: Channels, outputs: Channels, *, features_per_channel: int = 1) -> SlimmableLinear:
        """Return a linear layer of the asked kind between two dimensions, with bias."""
        if self.layer == "sliced":
            return SlimmableLinear(inputs, outputs, features_per_channel=features_per_channel)
        return TriangularLinear(inputs, outputs, features_per_channel=features_per_channel, dense_base=self.dense_base)

    def norm_layer(self, channels: Channels) -> nn.Module:
        """Return a BN layer of the asked kind."""
        if self.norm == "shared":
            return SharedBatchNorm2d(channels)
        return SwitchableBatchNorm2d(channels, self.switches_of(channels.name), affine=self.affine)

    def switches_of(self, name: str) -> list[float]:
        """Return the widths at which one dimension is trained or has BN statistics."""
        return [self.switches[name]] if isinstance(self.switches, dict) else self.switches

    def _make(self, name: str, count: int, *, factor: int, fixed: bool) -> Channels:
        full = self.channels.get(name, factor * self._scaled(count // factor, fixed=fixed))
        factor = factor if full % factor == 0 else 1
        return Channels(
            full,
            name=name,
            min_width_mult=self.min_width_mult,
            divisor=self.divisor,
            min_channels=max(1, factor * min(self.divisor, full // factor)),
            factor=factor,
            fixed=fixed,
            path=tuple(self.paths.get(name, ())),
            trained=self.switches_of(name),
        )

    def _scaled(self, count: int, *, fixed: bool) -> int:
        exact = count * (max(self.base_width_mult, 1.0) if fixed else self.base_width_mult)
        return max(self.divisor, round_channels(exact, self.divisor))
