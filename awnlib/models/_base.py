"""`SlimmableModel`: a network of selectable width that is built from a specification, as all of this package are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from awnlib.channels import Channels
from awnlib.layers import PrefixHead, SlimmableLinear, SlimmableNetwork
from awnlib.models._spec import ModelSpec
from awnlib.models._weights import differences

StageBlocks = tuple[tuple[tuple[str, ...], ...], ...]
"""For each stage and each of its blocks the names of the dimensions that belong to this block alone."""


class SlimmableModel(SlimmableNetwork):
    """A network whose width is chosen at run time, and which its specification rebuilds.

    Subclasses create their `channels` and layers from a `ModelSpec` and define `features`.

    Raises
    ------
    ValueError
        If `spec.depth_mult` is not 1 and the network has no blocks to repeat.

    Attributes
    ----------
    spec
        What the model was built from.
    stage_blocks
        For each stage and each of its blocks the names of the `channels` that belong to this block alone; empty for a
        network that does not repeat blocks. `spec.depth_mult` times as many blocks as the plain network's.
    head
        The last layer: `classifier`, unless a subclass says otherwise. `forward(images)` is `head(features(images))`.
    """

    classifier: SlimmableLinear

    def __init__(self, spec: ModelSpec, channels: dict[str, Channels], stage_blocks: StageBlocks = ()) -> None:
        super().__init__(channels, spec.input_shape)
        if spec.depth_mult != 1 and not stage_blocks:
            raise ValueError(f"{spec.name} has no blocks to repeat: depth_mult must be 1, found {spec.depth_mult}")
        self.spec = spec
        self.stage_blocks = stage_blocks

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load tensors as every module does; a RuntimeError says with a few names how they differ."""
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            different = differences(self.state_dict(), state_dict)
            hint = "(for those of torchvision's networks there is awnlib.models.load_torchvision_weights)"
            raise RuntimeError(f"tensors that do not fit {self.spec.name}: {different or error} {hint}") from None

    @property
    def head(self) -> PrefixHead:
        """The last layer, which reads the features."""
        return self.classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the head's output at the active width: of a classifier the logits, `[N, classes]`."""
        return self.head(self.features(images))

    def draw_weights(self) -> None:
        """Draw the weights that do not start as torch's own layers do; called last by the constructor."""

    def reset_parameters(self) -> None:
        """Draw all parameters anew and forget all statistics, as in a new model: what a model needs after `to_empty`.

        The widths and the switches stay as they are.
        """
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if module is not self and reset is not None:
                reset()
        self.draw_weights()

    def set_switches(self, width_mults: Sequence[float] | Mapping[str, float]) -> None:
        """Replace the widths that have BN statistics of their own (`SlimmableNetwork.set_switches`), in `spec` too."""
        super().set_switches(width_mults)
        trained = {name: channels.trained for name, channels in self.channels.items()}
        switches: list[float] | dict[str, float] = list(next(iter(trained.values())))
        if isinstance(width_mults, Mapping):
            switches = {name: width_mult for name, (width_mult,) in trained.items()}
        self.spec = self.spec.model_copy(update={"switches": switches})
