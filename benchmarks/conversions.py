"""Every convolutional network of torchvision and some of timm, made slimmable: `python -m benchmarks.conversions`.

A row a network: how many dimensions follow the width, how many layers keep outputs at full width, whether full width
gives the same bits, and the largest differences at a quarter, a half and three quarters of the width, relative to the
largest output: to the original network whose layers see zeros for what is cut (not where a layer norm takes its mean
over the active channels), and to the extracted network. Weights are random, norms are not trivial; images are small.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.convert.converted import ConvertedNetwork
from awnlib.convert.slimmable import to_slimmable
from awnlib.deploy.extract import extract
from awnlib.layers import SlimmableConv2d, SlimmableLayerNorm, SlimmableLinear
from awnlib.layers.segments import Axis, take
from awnlib.torchvision_shim import import_torchvision

FAMILIES: tuple[str, ...] = ("alexnet", "convnext", "densenet", "efficientnet", "googlenet", "inception", "mnasnet")
FAMILIES += ("mobilenet", "regnet", "resnet", "resnext", "shufflenet", "squeezenet", "vgg", "wide_resnet")
TIMM: tuple[str, ...] = (
    "resnet50",
    "efficientnet_b0",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "convnext_atto",
)
TIMM += ("hrnet_w18_small", "repvgg_a0", "mobileone_s0", "densenet121", "regnety_004", "ghostnet_100", "cspresnet50")
TIMM += ("res2net50_26w_4s", "seresnet50")
SIZES = {"inception_v3": 96, "alexnet": 64}
"""Pixels of a side, where 32 are too few."""
WIDTHS = (0.25, 0.5, 0.75)
TOLERANCE = 1e-5


def main() -> int:
    """Print the table; return 1 if a network is not what it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="such as resnet18 or timm/resnet50; by default all")
    names = parser.parse_args().names or all_names()
    print("| network | free | fixed | full width | masked original | extracted | s |")
    print("|---|---|---|---|---|---|---|")
    passed = [row(name) for name in names]
    print(f"\n{sum(passed)} of {len(passed)} networks as they must be, torch {torch.__version__}")
    return 0 if all(passed) else 1


def all_names() -> list[str]:
    """Return the networks that are tried."""
    models = import_torchvision().models
    found = [name for name in models.list_models(module=models) if name.startswith(FAMILIES)]
    return [*found, *(f"timm/{name}" for name in TIMM)]


@torch.no_grad()
def row(name: str) -> bool:
    """Print what a network becomes, and return whether it is as it must be."""
    start = time.perf_counter()
    network = shaken(create(name)).eval()
    size = SIZES.get(name, 32 if "/" not in name else 64)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        converted = to_slimmable(network, images)
    except ValueError as error:
        print(f"| {name} | - | - | refused: {' '.join(str(error).split())} | - | - | - |", flush=True)
        return False
    equal = torch.equal(converted(images), network(images))
    masked, extracted = (
        max(differences) for differences in zip(*_differences(network, converted, images), strict=True)
    )
    report = converted.report
    seconds = time.perf_counter() - start
    cells = [name, len(report.free), len(report.fixed), "equal" if equal else "DIFFERENT", f"{masked:.0e}"]
    print(f"| {' | '.join(map(str, cells))} | {extracted:.0e} | {seconds:.0f} |", flush=True)
    return equal and extracted <= TOLERANCE and not masked > TOLERANCE


def create(name: str) -> nn.Module:
    """Return a network of ten classes, without layers for training alone."""
    library, _, short = name.rpartition("/")
    models = import_torchvision().models
    if library == "timm":
        import timm

        created: nn.Module = timm.create_model(short, num_classes=10)
        return created
    options: dict[str, Any] = {"num_classes": 10}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    network: nn.Module = getattr(models, name)(**options)
    return network


def shaken(network: nn.Module) -> nn.Module:
    """Let no statistic of the norms be trivial."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None:
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.normal_(layer.running_mean, 0.0, 0.2)
    return network


def _differences(network: nn.Module, converted: ConvertedNetwork, images: Tensor) -> Iterator[tuple[float, float]]:
    """Yield for each width the differences to the masked original (none with layer norms) and to the extracted one."""
    normalised = any(isinstance(layer, SlimmableLayerNorm) for layer in converted.modules())
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        narrow = converted(images)
        masked = float("nan") if normalised else _relative(narrow, masked_network(network, converted)(images))
        yield masked, _relative(narrow, extract(converted, width_mult)(images))


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def masked_network(network: nn.Module, converted: ConvertedNetwork) -> nn.Module:
    """Return the original network with zeros for the channels that convolutions and linear layers do not read."""
    network = copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})
    layers = dict(network.named_modules())
    for name, layer in converted.named_modules():
        if isinstance(layer, SlimmableConv2d | SlimmableLinear):
            layers[name].register_forward_pre_hook(_mask(layer.channels_in, isinstance(layer, SlimmableConv2d)))
    return network


def _mask(axis: Axis, of_maps: bool) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
    kept = torch.zeros(axis.full).index_fill(0, take(torch.arange(axis.full), axis), 1.0)
    kept = kept[:, None, None] if of_maps else kept
    return lambda _, inputs: (inputs[0] * kept,)


if __name__ == "__main__":
    sys.exit(main())
