"""How models and data sets are written for readers; a name that is not listed is shown as it is."""

from __future__ import annotations

NAMES = {
    "lenet_3c1l": "LeNet-3C1L",
    "mobilenet_v2": "MobileNetV2",
    "resnet18": "ResNet18",
    "mnist": "MNIST",
    "mnist5k": "MNIST-5k",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar10_jpeg": "CIFAR-10 (JPEG)",
    "tiny_imagenet_100": "Tiny ImageNet (100 classes)",
    "imagenet": "ImageNet",
}


def display_name(name: str) -> str:
    """Return the usual spelling of a model's or data set's name."""
    return NAMES.get(name, name)


def panel_title(model: str, dataset: str) -> str:
    """Return the title of one model on one data set."""
    return f"{display_name(model)}, {display_name(dataset)}"
