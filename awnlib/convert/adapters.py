"""Layers of PyTorch, torchvision and timm as slimmable ones: a table by class, so that neither library is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.layers import SlimmableConv2d, SlimmableLayerNorm, SlimmableLinear, SwitchableBatchNorm2d
from awnlib.layers.segments import Axis
from awnlib.layers.strided import FEW_INPUTS

State = dict[str, Any]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class ConvertedConv2d(SlimmableConv2d):
    """A convolution with the parameters of an ordinary one, that computes the same bits at full width.

    Strided 1x1 convolutions read only pixels that count (`awnlib.layers.strided`) where they have few inputs.
    `plain_type` is the class of the ordinary one.
    """

    def __init__(self, conv: nn.Conv2d, inputs: Axis, outputs: Axis) -> None:
        names = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        options = {name: getattr(conv, name) for name in names}
        with torch.device("meta"):
            super().__init__(inputs, outputs, **options, bias=conv.bias is not None)
        self.weight, self.bias = conv.weight, conv.bias
        self.plain_type = type(conv)

    def _convolve(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.fan_in < FEW_INPUTS or self.padding_mode != "zeros":
            return super()._convolve(input, weight, bias)
        return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.active_groups)


class ConvertedConv2dSame(ConvertedConv2d):
    """A convolution with as many outputs as strides fit into its input (timm's `Conv2dSame`, TensorFlow's padding)."""

    def forward(self, input: Tensor) -> Tensor:
        """Pad by what the kernel needs at the ends, a half on each side, and convolve."""
        height, width = (
            max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            for size, kernel, stride, dilation in zip(
                input.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        around = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(F.pad(input, around))


class ConvertedLinear(SlimmableLinear):
    """A linear layer with the parameters of an ordinary one; `plain_type` is the class of that."""

    def __init__(self, linear: nn.Linear, inputs: Axis, outputs: Axis) -> None:
        with torch.device("meta"):
            super().__init__(inputs, outputs, bias=linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.plain_type = type(linear)


class ConvertedBatchNorm2d(SwitchableBatchNorm2d):
    """Switchable statistics that begin as those of an ordinary norm, at width 1, and are saved under its names.

    Parameters
    ----------
    norm
        The norm, whose parameters become this layer's. Those without scale and shift have 1 and 0.
    channels
        Its axis.

    Attributes
    ----------
    plain_type, affine
        The class of the norm, and whether it has a scale and shift.
    """

    def __init__(self, norm: nn.BatchNorm2d, channels: Axis) -> None:
        super().__init__(channels, [1.0], affine="shared", eps=norm.eps, momentum=norm.momentum)
        self.plain_type, self.affine = type(norm), norm.affine
        if norm.affine:
            self.weight, self.bias = norm.weight, norm.bias
        else:
            del self.weight, self.bias
            assert norm.running_var is not None
            self.register_buffer("weight", torch.ones_like(norm.running_var), persistent=False)
            self.register_buffer("bias", torch.zeros_like(norm.running_var), persistent=False)
        self.norms[0].load_state_dict({name: getattr(norm, name) for name in STATISTICS}, assign=True)
        self.register_state_dict_post_hook(_widest_as_its_own)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_its_own_as_widest)  # type: ignore[no-untyped-call]

    @property
    def names_of_widest(self) -> tuple[str, ...]:
        """What the widest switch has under the names of an ordinary norm."""
        return (*STATISTICS, "weight", "bias") if self.private else STATISTICS

    def set_private_switches(self, width_mults: Sequence[float]) -> None:
        """Give widths their own scale, shift and statistics, which begin as those of the widest one before.

        A norm without scale and shift has statistics of its own for each width.
        """
        before = {name: value.clone() for name, value in self.norms[-1].state_dict().items()}
        if self.affine and not self.private:
            before |= {"weight": self.weight.detach().clone(), "bias": self.bias.detach().clone()}
            del self.weight, self.bias
            self.private = True
        self._create(width_mults)
        for norm in self.norms:
            norm.load_state_dict(before)


class ConvertedNormAct2d(ConvertedBatchNorm2d):
    """A norm with a dropout and an activation of its own (timm's `BatchNormAct2d`)."""

    def __init__(self, norm: Any, channels: Axis) -> None:
        super().__init__(norm, channels)
        self.drop, self.act = norm.drop, norm.act

    def forward(self, input: Tensor) -> Tensor:
        """Normalise at the active width, drop out and activate."""
        activated: Tensor = self.act(self.drop(super().forward(input)))
        return activated


class ConvertedLayerNorm(SlimmableLayerNorm):
    """A layer norm with the parameters of an ordinary one; `plain_type` is the class of that."""

    def __init__(self, norm: nn.LayerNorm, channels: Axis, *, channels_first: bool) -> None:
        options = {"elementwise_affine": norm.elementwise_affine, "bias": norm.bias is not None}
        super().__init__(channels, channels_first=channels_first, eps=norm.eps, **options)
        self.plain_type = type(norm)
        self.weight, self.bias = norm.weight, norm.bias


def why_unknown(layer: nn.Module) -> str:
    """Return why a layer cannot be made slimmable; empty if it can."""
    if _class_name(layer) not in ADAPTERS:
        return f"{type(layer).__name__} is no class that is known"
    if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks:
        return "it has hooks, which would be lost"
    if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d) and not layer.track_running_stats:
        return "it has no statistics of its own"
    return ""


def slimmable(layer: nn.Module, inputs: Axis, outputs: Axis) -> nn.Module:
    """Return a known layer as one of selectable width, with the same parameters, in the same mode."""
    return ADAPTERS[_class_name(layer)](layer, inputs, outputs).train(layer.training)


def _conv(layer: Any, inputs: Axis, outputs: Axis) -> nn.Module:
    return ConvertedConv2d(layer, inputs, outputs)


def _conv_same(layer: Any, inputs: Axis, outputs: Axis) -> nn.Module:
    return ConvertedConv2dSame(layer, inputs, outputs)


def _linear(layer: Any, inputs: Axis, outputs: Axis) -> nn.Module:
    return ConvertedLinear(layer, inputs, outputs)


def _norm(layer: Any, channels: Axis, _: Axis) -> nn.Module:
    return ConvertedBatchNorm2d(layer, channels)


def _norm_act(layer: Any, channels: Axis, _: Axis) -> nn.Module:
    return ConvertedNormAct2d(layer, channels)


def _layer_norm(layer: Any, channels: Axis, _: Axis) -> nn.Module:
    return ConvertedLayerNorm(layer, channels, channels_first=False)


def _layer_norm_first(layer: Any, channels: Axis, _: Axis) -> nn.Module:
    return ConvertedLayerNorm(layer, channels, channels_first=True)


ADAPTERS: dict[str, Callable[[Any, Axis, Axis], nn.Module]] = {
    "torch.nn.modules.conv.Conv2d": _conv,
    "torch.nn.modules.linear.Linear": _linear,
    "torch.nn.modules.batchnorm.BatchNorm1d": _norm,
    "torch.nn.modules.batchnorm.BatchNorm2d": _norm,
    "torch.nn.modules.normalization.LayerNorm": _layer_norm,
    "torchvision.models.convnext.LayerNorm2d": _layer_norm_first,
    "timm.layers.conv2d_same.Conv2dSame": _conv_same,
    "timm.layers.linear.Linear": _linear,
    "timm.layers.norm.LayerNorm": _layer_norm,
    "timm.layers.norm.LayerNorm2d": _layer_norm_first,
    "timm.layers.norm_act.BatchNormAct2d": _norm_act,
}
"""How to make a layer of a class slimmable. A subclass is another class: its `forward` may do something else."""


def _class_name(layer: nn.Module) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


def _widest_as_its_own(norm: nn.Module, state: State, prefix: str, _: Any) -> None:
    """Give what the widest switch has the names of an ordinary norm."""
    assert isinstance(norm, ConvertedBatchNorm2d)
    for name in norm.names_of_widest:
        state[prefix + name] = state.pop(f"{prefix}norms.{len(norm.norms) - 1}.{name}")


def _its_own_as_widest(norm: nn.Module, state: State, prefix: str, *_: Any) -> None:
    assert isinstance(norm, ConvertedBatchNorm2d)
    for name in norm.names_of_widest:
        if prefix + name in state:
            state[f"{prefix}norms.{len(norm.norms) - 1}.{name}"] = state.pop(prefix + name)
