"""What the benchmarks share: their options, networks, batches and training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from awnlib.models import SlimmableModel, create_model
from awnlib.training.engine import create_optimizer
from awnlib.training.methods import load_methods
from awnlib.training.run import TrainConfig

WIDTHS = [1.0, 0.75, 0.5, 0.25]
CLASSES = 10
IMAGE = (1, 28, 28)
Network = TypeVar("Network", bound=nn.Module)
LR = 1e-5  # so small that many steps with one batch change nothing that matters for the speed


@dataclass(frozen=True)
class Options:
    """How to measure; `smoke` asks for the smallest sizes, to see that everything runs."""

    rounds: int = 9
    threads: int = 1
    batch_size: int = 128
    device: str = "cpu"
    smoke: bool = False


def synchronise(options: Options) -> None:
    """Wait for the device."""
    if options.device == "cuda":
        torch.cuda.synchronize()


def create_lenet(method: str, options: Options, *, num_classes: int = CLASSES) -> SlimmableModel:
    """Return the LeNet-3C1L of a method, in training mode and in the memory layout that training uses."""
    return create_network("lenet_3c1l", method, options, input_shape=IMAGE, num_classes=num_classes)


def create_network(
    name: str, method: str, options: Options, *, switches: list[float] = WIDTHS, **sizes: object
) -> SlimmableModel:
    """Return the network of a method, in training mode and in the memory layout that training uses."""
    settings = load_methods()[method]
    model = create_model(
        name,
        layer=settings.layer,
        norm="shared" if settings.norm == "shared" else "switchable",
        switches=[switches[0], switches[-1]] if settings.norm == "recalibrated" else switches,
        affine="shared" if settings.norm == "recalibrated" else "private",
        base_width_mult=settings.base_width_mult,
        **sizes,
    )
    return as_in_training(model, options)


def as_in_training(network: Network, options: Options) -> Network:
    """Put a network on the device, in training mode and in the memory layout that training uses."""
    network.to(device=options.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.train()


def random_batch(
    options: Options,
    *,
    shape: tuple[int, int, int] = IMAGE,
    num_classes: int = CLASSES,
    memory_format: torch.memory_format = torch.channels_last,
) -> tuple[Tensor, Tensor]:
    """Return images `[batch_size, *shape]` and labels `[batch_size]`."""
    images = torch.randn(options.batch_size, *shape).to(device=options.device, memory_format=memory_format)
    return images, torch.randint(num_classes, (options.batch_size,), device=options.device)


def step(network: nn.Module, backward: Callable[[], object]) -> Callable[[], None]:
    """Return a training step: forward and backward passes, then the optimiser."""
    optimizer = create_optimizer(network, TrainConfig(lr=LR))

    def take_step() -> None:
        optimizer.zero_grad()
        backward()
        optimizer.step()

    return take_step
