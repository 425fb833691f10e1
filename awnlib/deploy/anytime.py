"""Anytime inference: a narrow answer first, then wider ones that reuse all that was computed.

    network = AnytimeNetwork(model)
    network.start(images)
    for width_mult in (0.25, 0.5, 0.75, 1.0):
        logits = network.logits(width_mult)
        if sure_enough(logits):
            break

In an any-width network the features of a width are the first features of every larger one. So a wider answer needs
only the *blocks* of new channels. Activations, pooling, sums and depthwise convolutions turn blocks into blocks.
Other convolutions, and the classifier, read earlier channels too, so what they read is kept.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from awnlib.channels import check_width_mult
from awnlib.deploy.extract import extract
from awnlib.layers import SlimmableConv2d, SlimmableLinear, SlimmableNetwork, TriangularConv2d, TriangularLinear
from awnlib.layers.segments import Axis
from awnlib.layers.strided import convolve
from awnlib.model_cost import output_positions
from awnlib.one_pass import is_any_width

# What may stand between convolutions: channel k of the output depends on channel k of the inputs.
_LAYERS = (nn.ReLU, nn.ReLU6, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Identity, nn.Flatten)
_FUNCTIONS = (
    *(F.relu, F.relu6, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.dropout),
    *(torch.relu, torch.max_pool2d, torch.flatten, torch.add, operator.add),
    *(Tensor.relu, Tensor.flatten, Tensor.add),
)

Blocks = dict[fx.Node, Tensor | None]


class AnytimeNetwork:
    """An any-width network that answers at one width after another and computes only what is new.

    The answers are those of the model at the same width, up to rounding. BN is folded into the convolutions; the
    weights are copies, so later changes of the model do not matter. A copy of it, or what comes back from a pickle, has
    no images yet.

    Parameters
    ----------
    model
        A network of triangular layers and shared norms, whose head is linear and comes last.
    channels_last
        Compute in this memory layout, which is usually faster for batches.

    Raises
    ------
    ValueError
        If features depend on the width, the last layer is no linear head, a norm cannot be folded, or an operation
        between the convolutions is not known to keep channels apart.
    """

    def __init__(self, model: SlimmableNetwork, *, channels_last: bool = False) -> None:
        if not is_any_width(model):
            raise ValueError("anytime inference needs triangular layers and shared norms, and a head")
        self._shape, self._min_width_mult = model.input_shape, model.min_width_mult
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._positions = output_positions(model)
        network = extract(model, 1.0, fold_bn=True)
        assert isinstance(network, fx.GraphModule)
        self._network = network
        head = _linear_head(model, self._network)
        self._channels, self._area = head.channels_in, head.features_per_channel
        self._network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._convolutions = _convolutions(self._network, model)
        self._plan()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy and a file hold: no images, and no plan, whose functions cannot be pickled."""
        kept = ("_shape", "_min_width_mult", "_layout", "_positions", "_channels", "_area", "_network", "_convolutions")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._plan()

    def _plan(self) -> None:
        """Find out what each node of the network's graph computes and when it has been read for the last time."""
        self._input, *self._nodes, classifier, _ = self._network.graph.nodes
        called = [node for node in self._nodes if node.op == "call_module" and node.target in self._convolutions]
        self._convs = {node: self._convolutions[str(node.target)] for node in called}
        self._functions = {node: _function(node, self._network) for node in self._nodes if node not in self._convs}
        self._linear: Any = self._network.get_submodule(str(classifier.target))
        (self._features,) = classifier.all_input_nodes
        dense = [node for node, conv in self._convs.items() if conv.limits]
        self._read_again = {self._features, *(node.all_input_nodes[0] for node in dense)}
        self._last_reader = {read: node for node in self._nodes for read in node.all_input_nodes}
        self._images: Tensor | None = None

    def start(self, images: Tensor) -> None:
        """Begin with a new batch of images, `[N, *input_shape]`; what was computed for others is forgotten.

        Raises
        ------
        ValueError
            If the images have another shape.
        """
        if tuple(images.shape[1:]) != self._shape:
            raise ValueError(f"images must be [N, {_commas(self._shape)}], found [{_commas(images.shape)}]")
        self._images = images.contiguous(memory_format=self._layout)
        self._width_mult = 0.0  # nothing computed yet
        self._kept: dict[fx.Node, Tensor] = {}
        self._sums: dict[int, Tensor] = {}

    @torch.no_grad()
    def logits(self, width_mult: float) -> Tensor:
        """Return the logits at a width, `[N, classes]`; widths may come in any order and repeatedly.

        Only a width above all before it costs more than a part of the classifier.

        Raises
        ------
        ValueError
            If the width is outside the model's range.
        RuntimeError
            If there are no images yet.
        """
        check_width_mult(width_mult, self._min_width_mult)
        if self._images is None:
            raise RuntimeError("call start(images) first")
        if width_mult > self._width_mult:
            self._widen(self._images, self._width_mult, width_mult)
            self._width_mult = width_mult
        return self._running_sum(self._channels.count(width_mult)).clone()

    def macs(self, from_width_mult: float, to_width_mult: float) -> int:
        """Return the MACs for one image of widening a network, or with `from_width_mult` 0 of starting at a width.

        They are those computed: of the zeros above a staircase only those inside a block of new channels. Compare
        with `awnlib.model_cost.Cost.macs_dense`, which is what a network of one width computes.

        Raises
        ------
        ValueError
            If a width is outside the model's range.
        """
        for width_mult in (from_width_mult or to_width_mult, to_width_mult):
            check_width_mult(width_mult, self._min_width_mult)
        macs = len(_added(self._channels, from_width_mult, to_width_mult)) * self._area * len(self._linear.weight)
        for node, conv in self._convs.items():
            rows = _added(conv.channels, from_width_mult, to_width_mult)
            macs += self._positions[str(node.target)] * conv.connections(rows)
        return macs

    def _widen(self, images: Tensor, start: float, stop: float) -> None:
        """Compute the channels between two widths, of every feature map."""
        blocks: Blocks = {}
        self._put(blocks, self._input, None if start else images)
        for node in self._nodes:
            convolved = node in self._convs
            block = self._convolve(blocks, node, start, stop) if convolved else self._call(blocks, node)
            self._put(blocks, node, block)
            for read in node.all_input_nodes:
                if self._last_reader[read] is node:
                    del blocks[read]

    def _put(self, blocks: Blocks, node: fx.Node, block: Tensor | None) -> None:
        """Note a block, and add it to the earlier ones if somebody reads them again.

        A fresh tensor rather than a buffer of full width: PyTorch's convolutions copy an input that has gaps.
        """
        blocks[node] = block
        if block is not None and node in self._read_again:
            self._kept[node] = torch.cat((self._kept[node], block), dim=1) if node in self._kept else block

    def _convolve(self, blocks: Blocks, node: fx.Node, start: float, stop: float) -> Tensor | None:
        conv, (read,) = self._convs[node], node.all_input_nodes
        rows = _added(conv.channels, start, stop)
        if not rows:
            return None
        inputs = self._kept[read] if conv.limits else blocks[read]
        assert inputs is not None
        return conv(inputs, rows)

    def _call(self, blocks: Blocks, node: fx.Node) -> Tensor | None:
        if any(blocks[read] is None for read in node.all_input_nodes):
            return None
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), blocks.__getitem__)
        block: Tensor = self._functions[node](*args, **kwargs)
        return block

    def _running_sum(self, count: int) -> Tensor:
        """Return the logits of the first channels: those of the most channels known so far, and what is missing."""
        if count not in self._sums:
            known = max((other for other in self._sums if other < count), default=0)
            new = slice(known * self._area, count * self._area)
            features, weight = self._kept[self._features][:, new], self._linear.weight[:, new]
            added = F.linear(features, weight, None if known else self._linear.bias)
            self._sums[count] = self._sums[known] + added if known else added
        return self._sums[count]


@dataclass(frozen=True)
class _Convolution:
    """A convolution of full width, of which blocks of output channels are computed.

    `limits` says how many inputs each output channel reads; it is empty for a depthwise convolution.
    """

    layer: nn.Conv2d
    channels: Axis
    limits: list[int]

    def __call__(self, inputs: Tensor, rows: range) -> Tensor:
        """Return the output channels `rows` from all input channels, or from those in `rows` if depthwise."""
        new, conv = slice(rows.start, rows.stop), self.layer
        weight, bias = conv.weight[new], None if conv.bias is None else conv.bias[new]
        groups = len(rows)
        if self.limits:
            reads, groups = self.limits[rows[-1]], 1
            inputs, weight = inputs[:, :reads], weight[:, :reads]
        return convolve(conv, inputs, weight, bias, groups)

    def connections(self, rows: range) -> int:
        """Return how many weights the block `rows` has."""
        reads = self.limits[rows[-1]] if self.limits and rows else 1
        return len(rows) * reads * self.layer.kernel_size[0] * self.layer.kernel_size[1]


@dataclass(frozen=True)
class _Linear:
    """A linear layer of full width before the last one, of which blocks of outputs are computed.

    `limits` says how many input channels, of `features` numbers each, each output reads.
    """

    layer: nn.Linear
    channels: Axis
    limits: list[int]
    features: int

    def __call__(self, inputs: Tensor, rows: range) -> Tensor:
        """Return the outputs `rows` from all inputs."""
        new, reads = slice(rows.start, rows.stop), self.limits[rows[-1]] * self.features
        return F.linear(inputs[:, :reads], self.layer.weight[new, :reads], self.layer.bias[new])

    def connections(self, rows: range) -> int:
        """Return how many weights the block `rows` has."""
        return len(rows) * self.limits[rows[-1]] * self.features if rows else 0


def _added(channels: Axis, start: float, stop: float) -> range:
    """Return the channels that one width has and a smaller one has not; start 0 stands for nothing at all."""
    return range(channels.count(start) if start else 0, channels.count(stop))


def _linear_head(model: SlimmableNetwork, network: fx.GraphModule) -> SlimmableLinear:
    """Return the head of a model, if it is linear and what its network computes last."""
    *_, last, _ = network.graph.nodes
    layer = dict(model.named_modules()).get(str(last.target))
    head = model.head
    if layer is not head or not isinstance(head, SlimmableLinear):
        raise ValueError(f"anytime inference needs a network whose last layer is a linear head, found {last.name}")
    return head


def _convolutions(network: nn.Module, model: SlimmableNetwork) -> dict[str, _Convolution | _Linear]:
    """Return the convolutions and triangular linear layers by name, with what the model knows of them."""
    convolutions: dict[str, _Convolution | _Linear] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, TriangularLinear):
            linear = network.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            convolutions[name] = _Linear(linear, layer.channels_out, layer.limits, layer.features_per_channel)
        if isinstance(layer, SlimmableConv2d):
            conv = network.get_submodule(name)
            assert isinstance(conv, nn.Conv2d)
            limits = layer.limits if isinstance(layer, TriangularConv2d) else []
            convolutions[name] = _Convolution(conv, layer.channels_out, limits)
    return convolutions


def _function(node: fx.Node, network: nn.Module) -> Callable[..., Tensor]:
    """Return what any other node computes; raise a ValueError if it may mix channels."""
    function: Any = node.target
    if node.op == "call_module":
        function = network.get_submodule(function)
    elif node.op == "call_method":
        function = getattr(Tensor, function)
    if not (isinstance(function, _LAYERS) or function in _FUNCTIONS):
        raise ValueError(f"anytime inference does not know whether {node.name} works channel by channel: {function}")
    return function  # type: ignore[no-any-return]


def _commas(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))
