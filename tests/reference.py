"""Slow, obvious versions of the numerical core, written from the papers' definitions, for the tests to compare with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SharedBatchNorm2d, SlimmableConv2d, SlimmableLinear, SwitchableBatchNorm2d
from awnlib.models import SlimmableModel, create_model, create_structure


@contextmanager
def float64() -> Iterator[None]:
    """Make float64 the dtype of everything created inside."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def small_lenet(seed: int = 0, **options: Any) -> SlimmableModel:
    """LeNet-3C1L with few channels for 16x16 images, no scale, shift or mean trivial, and logits that differ."""
    torch.manual_seed(seed)
    sizes = {"input_shape": (1, 16, 16), "num_classes": 3, "channels": {"conv1": 5, "conv2": 8, "conv3": 6}}
    model = create_model("lenet_3c1l", **{**sizes, **options})
    for module in model.modules():
        shake_norm(module)
    nn.init.normal_(model.classifier.weight)
    return model


def small_model(name: str, **options: Any) -> SlimmableModel:
    """Any model for 16x16 images in colour: its smallest dimension has 4 channels, the others follow; else as above."""
    torch.manual_seed(0)
    narrowest = min(channels.full for channels in plain_structure(name).channels.values())
    sizes = {"input_shape": (3, 16, 16), "num_classes": 3, "base_width_mult": 4 / narrowest}
    model = create_model(name, **{**sizes, **options})
    for module in model.modules():
        shake_norm(module)
    if hasattr(model.head, "weight"):
        nn.init.normal_(model.head.weight)
    return model


@lru_cache
def plain_structure(name: str) -> SlimmableModel:
    """The model as its defaults have it, with a square number of outputs, without weights; not to be changed."""
    return create_structure(name, num_classes=9)


def is_classifier(name: str) -> bool:
    """Whether the model gives one number for each class; others end in something else than a linear head."""
    return isinstance(plain_structure(name).head, SlimmableLinear)


@torch.no_grad()
def shake_norm(module: nn.Module) -> None:
    """Give a norm layer random parameters and statistics."""
    if isinstance(module, nn.BatchNorm2d):
        module.running_mean.normal_(0, 0.1)
        module.running_var.uniform_(0.1, 0.3)
    if isinstance(module, nn.BatchNorm2d | SwitchableBatchNorm2d) and getattr(module, "weight", None) is not None:
        module.weight.uniform_(0.5, 2)
        module.bias.normal_(0, 0.3)


def count_slowly(width_mult: float, full: int, divisor: int = 1, min_channels: int = 1) -> int:
    """Round to a multiple of the divisor in exact fractions: the nearest, halves up, but not below 90 %."""
    if width_mult == 1:
        return full
    exact = Fraction(width_mult) * full
    count = math.floor(exact / divisor + Fraction(1, 2)) * divisor
    if divisor > 1 and count < Fraction(9, 10) * exact:
        count += divisor
    return min(max(count, min_channels), full)


def all_widths(*dimensions: Channels, low: float = 0.0, grid: int = 256) -> list[float]:
    """A fine grid of widths and those at which a count changes."""
    widths = {low, 1.0, *(i / grid for i in range(grid)), *(width for c in dimensions for width, _ in c.steps)}
    return sorted(width for width in widths if width >= low)


def staircase_slowly(in_channels: Channels, out_channels: Channels, *, dense_base: bool = False) -> list[int]:
    """What a row may read: the inputs that are active at every width that keeps the row."""
    low = 0.0
    if dense_base or out_channels.fixed:  # nothing below the smallest allowed width counts
        low = max([c.min_width_mult for c in (in_channels, out_channels) if not c.fixed], default=0.0)
    counts = [(in_channels.count(w), out_channels.count(w)) for w in all_widths(in_channels, out_channels, low=low)]
    return [min(inputs for inputs, outputs in counts if outputs > row) for row in range(out_channels.full)]


def mask_slowly(limits: Sequence[int], num_channels: int, features_per_channel: int = 1) -> Tensor:
    """One row for each limit, [out, in]: 1 where it may read."""
    mask = torch.zeros(len(limits), num_channels * features_per_channel)
    for row, limit in enumerate(limits):
        for column in range(num_channels * features_per_channel):
            mask[row, column] = column // features_per_channel < limit
    return mask


def conv2d_slowly(images: Tensor, weight: Tensor, bias: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """A convolution, one output number at a time."""
    images = F.pad(images, [padding] * 4)
    size = weight.shape[-1]
    height, width = ((side - size) // stride + 1 for side in images.shape[-2:])
    output = torch.empty(len(images), len(weight), height, width)
    for n, s, y, x in torch.cartesian_prod(*map(torch.arange, output.shape)).tolist():
        patch = images[n, :, y * stride : y * stride + size, x * stride : x * stride + size]
        output[n, s, y, x] = (patch * weight[s]).sum() + bias[s]
    return output


def plain_conv(layer: SlimmableConv2d) -> nn.Conv2d:
    """An ordinary convolution with a copy of the active block of weights."""
    inputs, outputs = layer.channels_in.active, layer.channels_out.active
    depthwise = layer.groups > 1
    groups, fan_in = (outputs, 1) if depthwise else (1, inputs)
    shape = {"stride": layer.stride, "padding": layer.padding, "groups": groups, "bias": layer.bias is not None}
    conv = nn.Conv2d(inputs, outputs, layer.kernel_size, **shape)
    conv.weight.data = layer.weight.data[:outputs, :fan_in].clone()
    if layer.average_inputs and not depthwise:
        conv.weight.data *= layer.channels_in.full / inputs
    if layer.bias is not None:
        conv.bias.data = layer.bias.data[:outputs].clone()
    return conv


def plain_linear(layer: SlimmableLinear) -> nn.Linear:
    """An ordinary linear layer with a copy of the active block of weights."""
    inputs, outputs = layer.channels_in.active * layer.features_per_channel, layer.channels_out.active
    linear = nn.Linear(inputs, outputs)
    linear.weight.data = layer.weight.data[:outputs, :inputs].clone()
    linear.bias.data = layer.bias.data[:outputs].clone()
    return linear


def plain_norm(norm: SharedBatchNorm2d | SwitchableBatchNorm2d) -> nn.BatchNorm2d:
    """An ordinary batch norm with copies of the active parameters and of the statistics for the active width."""
    active = norm.channels.active
    source = affine = norm
    if isinstance(norm, SwitchableBatchNorm2d):
        larger = [i for i, width in enumerate(norm.width_mults) if width >= norm.channels.width_mult]
        source = norm.norms[larger[0]]  # width_mults is sorted
        affine = source if norm.private else norm
    plain = nn.BatchNorm2d(active, eps=source.eps, momentum=source.momentum)
    plain.weight.data, plain.bias.data = affine.weight.data[:active].clone(), affine.bias.data[:active].clone()
    plain.running_mean, plain.running_var = source.running_mean[:active].clone(), source.running_var[:active].clone()
    return plain


def plain_lenet(model: SlimmableModel) -> nn.Sequential:
    """The active width of a LeNet-3C1L, as an ordinary network with copies of its numbers."""
    convs = [plain_conv(conv) for conv in (model.conv1, model.conv2, model.conv3)]
    norms = [plain_norm(norm) for norm in (model.norm1, model.norm2, model.norm3)]
    first, second, third = ([conv, norm, nn.ReLU()] for conv, norm in zip(convs, norms, strict=True))
    head = [nn.Flatten(), plain_linear(model.classifier)]
    return nn.Sequential(*first, *second, nn.MaxPool2d(2), *third, nn.MaxPool2d(2), *head).train(model.training)


def losses_of_widths(
    model: SlimmableModel, images: Tensor, labels: Tensor, width_mults: Sequence[float], *, distillation: bool
) -> list[Tensor]:
    """Algorithm 1's loss at each width, one pass each, from the definition of the cross-entropy."""
    losses: list[Tensor] = []
    targets = F.one_hot(labels, model.spec.num_classes).to(images.dtype)
    for width_mult in width_mults:
        model.set_width_mult(width_mult)
        logits = model(images)
        losses.append(-(targets * torch.log(logits.exp() / logits.exp().sum(dim=1, keepdim=True))).sum(dim=1).mean())
        if distillation and len(losses) == 1:
            targets = (logits.exp() / logits.exp().sum(dim=1, keepdim=True)).detach()
    return losses


@torch.no_grad()
def norm_inputs(network: nn.Sequential, images: Tensor) -> list[Tensor]:
    """The input of every norm layer, when the ones before normalise by the batch's own statistics."""
    inputs = []
    for stage in network:
        if isinstance(stage, nn.BatchNorm2d):
            inputs.append(images)
            mean = images.mean(dim=(0, 2, 3), keepdim=True)
            var = ((images - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
            weight, bias = stage.weight.view(1, -1, 1, 1), stage.bias.view(1, -1, 1, 1)
            images = (images - mean) / torch.sqrt(var + stage.eps) * weight + bias
        else:
            images = stage(images)
    return inputs


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of each channel."""
    values = x.transpose(0, 1).flatten(1)
    mean = values.sum(dim=1) / values.shape[1]
    return mean, ((values - mean[:, None]) ** 2).sum(dim=1) / (values.shape[1] - 1)


def exact_statistics(network: nn.Sequential, batches: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """US-Nets, equation 8: for each norm the mean over images of the mean and the unbiased variance of their batch."""
    of_images = [[batch_statistics(x) for x in norm_inputs(network, images)] for images in batches for _ in images]
    return [
        (sum(mean for mean, _ in layer) / len(of_images), sum(var for _, var in layer) / len(of_images))
        for layer in zip(*of_images, strict=True)
    ]


@torch.no_grad()
def scores(rows: Sequence[dict[str, Any]], metric: str) -> list[float]:
    """Return the scores of one metric, in the order of the rows."""
    return [row["score"] for row in rows if row["metric"] == metric]


def wide(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each run of rows that differ in `metric` and `score` alone, the scores by metric."""
    groups: list[dict[str, Any]] = []
    for row in rows:
        about = {name: value for name, value in row.items() if name not in ("metric", "score")}
        if not groups or row["metric"] in groups[-1] or not about.items() <= groups[-1].items():
            groups.append(about)
        groups[-1][row["metric"]] = row["score"]
    return groups


def sweep_slowly(model: SlimmableModel, images: Tensor, labels: Tensor, width_mults: Sequence[float]) -> list[Any]:
    """(Loss, accuracy in percent) at each width, image by image."""
    rows = []
    for width_mult in width_mults:
        model.set_width_mult(width_mult)
        network = plain_lenet(model).eval()
        loss, correct = 0.0, 0
        for image, label in zip(images, labels.tolist(), strict=True):
            logits = network(image[None])[0].tolist()
            loss += math.log(sum(math.exp(logit) for logit in logits)) - logits[label]
            correct += logits.index(max(logits)) == label
        rows.append((loss / len(images), 100 * correct / len(images)))
    return rows


def drift_slowly(
    model: SlimmableModel, batches: Sequence[Tensor], width_mults: Sequence[float]
) -> dict[tuple[int, float], float]:
    """The drift of each (number of the norm layer, width), channel by channel."""
    values: dict[tuple[int, float], Tensor] = {}  # [channel, everything that the channel was]
    for width_mult in width_mults:
        model.set_width_mult(width_mult)
        network = plain_lenet(model)
        for layer, inputs in enumerate(zip(*(norm_inputs(network, images) for images in batches), strict=True)):
            values[layer, width_mult] = torch.cat(inputs).transpose(0, 1).flatten(1)
    drifts = {}
    for (layer, width_mult), value in values.items():
        total = 0.0
        for channel, own in enumerate(value):
            keep = [values[layer, w][channel] for w in width_mults if len(values[layer, w]) > channel]
            pooled = torch.cat(keep)  # as many numbers from every width
            scale = pooled.var(correction=0) + 1e-5
            moved = (own.mean() - pooled.mean()) ** 2 + (own.std(correction=0) - pooled.std(correction=0)) ** 2
            total += float(moved / scale)
        drifts[layer, width_mult] = math.sqrt(total / len(value))
    return drifts


def load_in_order(network: nn.Module, other: nn.Module) -> None:
    """Copy all numbers of a network into one whose layers have other names."""
    for own, theirs in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        own.copy_(theirs)
