"""One width of a network as an ordinary PyTorch module: nothing of awnlib is left in it.

    network = extract(model, 0.5, fold_bn=True)
    torch.save(network.state_dict(), "half.pt")

The model is traced (`torch.fx`), so its own `forward` becomes the network's: a new model needs nothing here, as long
as its control flow does not depend on values.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from awnlib.convert.adapters import (
    ConvertedBatchNorm2d,
    ConvertedConv2d,
    ConvertedLayerNorm,
    ConvertedLinear,
    ConvertedNormAct2d,
)
from awnlib.convert.converted import ConvertedNetwork, restore
from awnlib.layers import (
    SharedBatchNorm2d,
    SlimmableConv2d,
    SlimmableLayerNorm,
    SlimmableLinear,
    SlimmableNetwork,
    SwitchableBatchNorm2d,
)
from awnlib.layers.segments import Axis, take
from awnlib.layers.strided import FEW_INPUTS, is_strided_1x1

_SLIMMABLE = (SlimmableConv2d, SlimmableLinear, SharedBatchNorm2d, SwitchableBatchNorm2d, SlimmableLayerNorm)


def extract(model: SlimmableNetwork, width: float | Mapping[str, float], *, fold_bn: bool = False) -> nn.Module:
    """Return one width of a model as a plain network, which costs what any network of its channel counts costs.

    Parameters
    ----------
    model
        Any network of the library's layers; it stays as it is and shares no tensor with the result.
    width
        A width multiplier, or a multiplier for each of the model's `channels`.
    fold_bn
        Fold every norm into the convolution before it: the same outputs up to rounding, in less time.

    Returns
    -------
    torch.fx.GraphModule
        A module in evaluation mode whose layers are `torch.nn.Conv2d`, `Linear` and `BatchNorm2d` with contiguous
        weights, under their names in the model. Norms have the statistics that the model uses at this width in
        evaluation. A strided 1x1 convolution of fewer than 16 channels is a pooling of 1x1 and a convolution of stride
        1, so that the network can be trained on any CPU (`awnlib.layers.strided`). It can be pickled, saved whole,
        scripted, traced and exported.
    torch.nn.Module
        Of the user's own class, if the model was made by `awnlib.to_slimmable` and norms are not folded. Its strided
        convolutions are as they are.

    Raises
    ------
    ValueError
        If the width is outside the model's range, or larger than every one with BN statistics; with `fold_bn`, if
        the input of a norm is not the output of one convolution that nothing else reads, or `torch.fx` cannot trace the
        network that was made slimmable.
    """
    root: nn.Module = copy.deepcopy(model).eval()
    assert isinstance(root, SlimmableNetwork)
    root.set_width(width)
    if isinstance(root, ConvertedNetwork):
        _restore(root)
        if not fold_bn:
            return root
    graph = _Tracer().trace(root)
    for name in _calls(graph):
        root.set_submodule(name, _plain(root.get_submodule(name)))
    if fold_bn:
        _fold_norms(graph, root)
    _read_pixels_first(graph, root)
    for node in graph.nodes:
        node.type = None  # the annotations of `forward`, which are strings; pickle and torch.jit.script read the code
    return fx.GraphModule(root, graph, type(model).__name__).eval()


def _restore(root: nn.Module) -> None:
    """Make a converted network one of the class that it was converted from, in place."""
    modules = list(root.modules())
    plain = {module: _plain(module) for module in modules}
    for module in modules:
        for name, child in module._modules.items():
            module._modules[name] = plain.get(child, child) if child is not None else None
        restore(module)


class _Tracer(fx.Tracer):
    """Records a call of a slimmable layer as a call, as it does for PyTorch's own layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _SLIMMABLE) or super().is_leaf_module(m, module_qualified_name)


def _calls(graph: fx.Graph) -> Counter[str]:
    """Return how often each module is called, by name."""
    return Counter(str(node.target) for node in graph.nodes if node.op == "call_module")


def _plain(layer: nn.Module) -> nn.Module:
    """Return PyTorch's counterpart of a layer at its active width, with copies; other layers as they are."""
    if isinstance(layer, SlimmableConv2d):
        return _plain_conv(layer)
    if isinstance(layer, SlimmableLinear):
        return _plain_linear(layer)
    if isinstance(layer, SharedBatchNorm2d | SwitchableBatchNorm2d):
        return _plain_norm(layer)
    if isinstance(layer, SlimmableLayerNorm):
        return _plain_layer_norm(layer)
    return layer


def _plain_conv(layer: SlimmableConv2d) -> nn.Module:
    inputs, outputs = layer.channels_in.active, layer.channels_out.active
    made: Any = layer.plain_type if isinstance(layer, ConvertedConv2d) else nn.Conv2d
    options = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    if layer.padding_mode != "zeros":
        options["padding_mode"] = layer.padding_mode
    with torch.device("meta"):
        conv = made(inputs, outputs, **options, groups=layer.active_groups, bias=layer.bias is not None)
    return _filled(conv, weight=layer.active_weight(), bias=_taken(layer.bias, layer.channels_out))


def _plain_linear(layer: SlimmableLinear) -> nn.Module:
    weight = layer.active_weight()
    outputs, inputs = weight.shape
    made: Any = layer.plain_type if isinstance(layer, ConvertedLinear) else nn.Linear
    with torch.device("meta"):
        linear = made(inputs, outputs, bias=layer.bias is not None)
    return _filled(linear, weight=weight, bias=_taken(layer.bias, layer.channels_out))


def _plain_norm(layer: SharedBatchNorm2d | SwitchableBatchNorm2d) -> nn.Module:
    statistics, vectors = layer.statistics, layer.vectors()
    made: Any = layer.plain_type if isinstance(layer, ConvertedBatchNorm2d) else nn.BatchNorm2d
    plain = isinstance(layer, ConvertedBatchNorm2d) and not layer.affine
    affine = {} if plain else {"weight": vectors.weight, "bias": vectors.bias}
    with torch.device("meta"):
        norm: nn.Module = made(
            layer.channels.active, eps=statistics.eps, momentum=statistics.momentum, affine=bool(affine)
        )
    _filled(
        norm,
        **affine,
        running_mean=vectors.mean,
        running_var=vectors.var,
        num_batches_tracked=statistics.num_batches_tracked,
    )
    if isinstance(layer, ConvertedNormAct2d):
        norm.drop, norm.act = layer.drop, layer.act
    return norm


def _plain_layer_norm(layer: SlimmableLayerNorm) -> nn.Module:
    made: Any = layer.plain_type if isinstance(layer, ConvertedLayerNorm) else nn.LayerNorm
    weight, bias = layer.active_affine()
    options = {} if bias is not None else {"elementwise_affine": weight is not None, "bias": False}
    with torch.device("meta"):
        norm = made(layer.channels.active, eps=layer.eps, **options)
    return _filled(norm, weight=weight, bias=bias)


def _taken(vector: Tensor | None, axis: Axis) -> Tensor | None:
    return None if vector is None else take(vector, axis)


def _filled(layer: nn.Module, **tensors: Tensor | None) -> nn.Module:
    """Give a layer without memory contiguous copies of tensors, and evaluation mode."""
    state = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
        if tensor is not None
    }
    layer.load_state_dict(state, assign=True)
    return layer.eval()


def _fold_norms(graph: fx.Graph, root: nn.Module) -> None:
    """Replace convolutions by ones that do their norm's work, with weights times gamma / sqrt(var + eps)."""
    calls = _calls(graph)
    for node in list(graph.nodes):
        norm = root.get_submodule(node.target) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        before = node.all_input_nodes[0]
        conv = root.get_submodule(before.target) if before.op == "call_module" else None
        once = len(before.users) == calls[node.target] == calls[before.target] == 1
        if not (isinstance(conv, nn.Conv2d) and once):
            raise ValueError(
                f"{node.target} cannot be folded: its input must be the output of one convolution that nothing else "
                f"reads, found {before.name}"
            )
        root.set_submodule(before.target, fuse_conv_bn_eval(conv, norm).requires_grad_())
        node.replace_all_uses_with(before)
        graph.erase_node(node)


def _read_pixels_first(graph: fx.Graph, root: nn.Module) -> None:
    """Let a pooling read the pixels for strided 1x1 convolutions of few inputs (`awnlib.layers.strided`)."""
    convs = {name: conv for name in _calls(graph) if isinstance(conv := root.get_submodule(name), nn.Conv2d)}
    strides = {
        name: conv.stride
        for name, conv in convs.items()
        if conv.in_channels < FEW_INPUTS and is_strided_1x1(conv.kernel_size, conv.stride, conv.padding)
    }
    for node in list(graph.nodes):
        if node.op == "call_module" and node.target in strides:
            (read,) = node.all_input_nodes
            with graph.inserting_before(node):
                pixels = graph.call_function(F.avg_pool2d, (read, 1, list(strides[node.target])))
            node.replace_input_with(read, pixels)
    for name in strides:
        convs[name].stride = (1, 1)
