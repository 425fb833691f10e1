"""Weights that were made elsewhere: how their names and shapes differ from a network's, and those of torchvision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from awnlib.models._base import SlimmableModel

SHOWN = 3
"""Names in a message, of all that differ in one way."""


def differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Return in words how the names and shapes of given tensors differ from a network's own; nothing if they fit."""
    shapes = [
        f"{name} {list(given[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    kinds = {
        "missing": [name for name in own if name not in given],
        "unknown": [name for name in given if name not in own],
        "of another shape": shapes,
    }
    return "; ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names)


@torch.no_grad()
def load_torchvision_weights(
    model: SlimmableModel, state_dict: Mapping[str, Tensor], *, classifier: bool = True
) -> None:
    """Give a network the weights and statistics of torchvision's network of the same name.

    At full width it then computes the same numbers. Narrower widths use the first channels of every layer: they need
    training, or at least `awnlib.evaluation.recalibrate.recalibrate_bn`. If the norms are switchable, each switch
    starts with the first entries.

    Parameters
    ----------
    model
        ``create_model("resnet18", layer="sliced", stem="large", input_shape=[3, 224, 224], num_classes=1000)`` or
        likewise ``"resnet50"`` or ``"mobilenet_v2"``: the plain network's channels and depth. With ``stem="small"``
        only MobileNetV2 fits, at twice the resolution inside.
    state_dict
        Such as ``torchvision.models.resnet18(weights="DEFAULT").state_dict()``, or what `torch.load` reads from its
        file.
    classifier
        False: the last layer stays as it is, for other classes.

    Raises
    ------
    ValueError
        If torchvision has no such network, the network is triangular, or names or shapes differ; nothing is changed
        then.
    """
    rename = getattr(import_module(f"awnlib.models.{model.spec.name}"), "torchvision_name", None)
    if rename is None:
        raise ValueError(f"{model.spec.name} has no torchvision_name: torchvision has no such network")
    if model.spec.layer == "triangular":
        raise ValueError("the layers of torchvision's networks are not triangular (allowed: layer 'sliced')")
    own = model.state_dict()
    names = {key: _torchvision_key(key, rename) for key in own if classifier or not key.startswith("classifier.")}
    unused = () if classifier else {_torchvision_key(key, rename) for key in own} - set(names.values())
    given = {name: tensor for name, tensor in state_dict.items() if name not in unused}
    # Files of 2018 and before do not count batches; the network keeps its own counts then.
    names = {key: name for key, name in names.items() if name in given or not key.endswith("num_batches_tracked")}
    different = differences(_largest(own, names), given)
    if different:
        raise ValueError(f"the weights are not those of torchvision's {model.spec.name} at its full width: {different}")
    for key, name in names.items():
        own[key].copy_(given[name][tuple(map(slice, own[key].shape))])


def _torchvision_key(key: str, rename: object) -> str:
    """Return torchvision's name of a tensor; those of all switches of a norm have the same one."""
    assert callable(rename)
    layer, _, tensor = re.sub(r"\.norms\.\d+", "", key).rpartition(".")
    return f"{rename(layer)}.{tensor}"


def _largest(own: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return a network's tensors under their new names, of several of one name the largest: that of full width."""
    largest: dict[str, Tensor] = {}
    for key, name in names.items():
        if name not in largest or own[key].numel() > largest[name].numel():
            largest[name] = own[key]
    return largest


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
