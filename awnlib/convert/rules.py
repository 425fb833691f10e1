"""What ATen operations do to channels: the table of all that is understood.

A rule returns where the result has its channels. Three carry most networks: a convolution or a linear layer begins a
new dimension, an element-wise operation makes its operands' dimensions one, a concatenation joins them. The others move
the axis, or refuse: what a narrower network would compute is then not the same of fewer channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from torch import fx

from awnlib.convert.dimensions import AxisPieces, Dimension, Piece, joined, unify, whole_groups
from awnlib.convert.graph import Flow, Label, Labelled, Labels, Rule, operation, place, shape, tensors


def convolution(flow: Flow, node: fx.Node) -> Label:
    """A new dimension; the groups of a group convolution are one for input and output."""
    read, weight, *rest = node.args
    bias = rest[0] if rest else None
    name = flow.owner(weight, bias)
    if name is None or len(shape(node)) != 4:
        return _refuse(flow, node, "the weight is computed, or its layer is of no class that is known,")
    axis = flow.axis(_node(read), 1, name)
    size_out, size_in = shape(_node(weight))[:2]
    if axis.length == size_in:
        return Labelled(1, flow.layer(name, axis, AxisPieces.new(size_out, name)))
    return Labelled(1, flow.layer(name, axis, _grouped(axis, size_in, size_out, name)))


def _grouped(axis: AxisPieces, size_in: int, size_out: int, name: str) -> AxisPieces:
    if not whole_groups(axis, size_in, name):
        return AxisPieces.new(size_out, name, f"groups of {size_in} do not fit what {name} reads")
    each = size_out // (axis.length // size_in)
    return AxisPieces(
        Piece(piece.dimension, piece.each // size_in * each)
        if piece.each % size_in == 0
        else Piece(Dimension(piece.length // size_in * each, name, piece.dimension.reason))
        for piece in axis.pieces
    )


def linear(flow: Flow, node: fx.Node) -> Label:
    """A new dimension, the last one."""
    read, weight, *rest = node.args
    name = flow.owner(weight, rest[0] if rest else None)
    if name is None:
        return _refuse(flow, node, "the weight is computed, or its layer is of no class that is known,")
    last = len(shape(_node(read))) - 1
    axis = flow.axis(_node(read), last, name)
    return Labelled(last, flow.layer(name, axis, AxisPieces.new(shape(_node(weight))[0], name)))


def batch_norm(flow: Flow, node: fx.Node) -> Label:
    """The same channels, each normalised alone."""
    read, *states = node.args[:5]
    name = flow.owner(*states)
    if name is None:
        return _refuse(flow, node, "a norm of no class that is known")
    axis = flow.axis(_node(read), 1, name)
    return Labelled(1, flow.layer(name, axis, axis))


def layer_norm(flow: Flow, node: fx.Node) -> Label:
    """The same channels, if they are what is normalised over."""
    read, sizes, *states = node.args[:4]
    name = flow.owner(*states)
    last = len(shape(_node(read))) - 1
    if name is None or len(_sequence(sizes)) != 1:
        return _refuse(flow, node, "a norm of no class that is known, or over other dimensions than the channels,")
    axis = flow.axis(_node(read), last, name)
    return Labelled(last, flow.layer(name, axis, axis))


def elementwise(flow: Flow, node: fx.Node) -> Label:
    """All operands have the same channels, unless one has a single one that serves all."""
    ndim = len(shape(node))
    reads = sorted(tensors(node), key=lambda read: read in flow.state_names)  # a dimension has the name of a layer
    found = [(read, flow.label(read)) for read in reads]
    placed = [label.dim + ndim - len(shape(read)) for read, label in found if label is not None]
    if not placed:
        return None
    dim = placed[0]
    axes = []
    for read, label in found:
        at = dim - ndim + len(shape(read))
        if at < 0 or shape(read)[at] == 1 < shape(node)[dim]:
            continue
        if label is None or label.dim != at:
            return _refuse(flow, node, f"it meets {read.name}, whose channels are not known,")
        axes.append(label.axis)
    for axis in axes[1:]:
        unify(axes[0], axis, place(node))
    return Labelled(dim, axes[0])


def channelwise(flow: Flow, node: fx.Node) -> Label:
    """The first operand's channels stay where they are."""
    return flow.label(_node(node.args[0]))


def spatial(flow: Flow, node: fx.Node) -> Label:
    """So they do, if they are not among the last two dimensions: poolings, interpolations."""
    label = channelwise(flow, node)
    if label is not None and label.dim != len(shape(_node(node.args[0]))) - 3:
        return _refuse(flow, node, "it runs over the channels")
    return label


def concatenate(flow: Flow, node: fx.Node) -> Label:
    """Along the channels one behind the other, else the same ones."""
    reads = [_node(read) for read in _sequence(node.args[0])]
    along = _dim(node, 1, "dim", default=0)
    labels = [flow.labels.get(read) for read in reads]
    dims = {label.dim for label in labels if isinstance(label, Labelled)}
    if len(dims) != 1:
        return _refuse(flow, node, "the channels are along different dimensions") if dims else None
    (dim,) = dims
    axes = [flow.axis(read, dim, place(node)) for read in reads]
    if along == dim:
        return Labelled(dim, joined(axes))
    for axis in axes[1:]:
        unify(axes[0], axis, place(node))
    return Labelled(dim, axes[0])


def reshape(flow: Flow, node: fx.Node) -> Label:
    """The channels stay an axis, are flattened with what is behind them, or freed from it again."""
    read = _node(node.args[0])
    label = flow.label(read)
    if label is None:
        return None
    before, after = shape(read), shape(node)
    leading, size = prod(before[: label.dim]), before[label.dim]
    behind = prod(before[label.dim + 1 :])
    for dim in range(len(after)):
        if prod(after[:dim]) != leading:
            continue
        if after[dim] == size:
            return Labelled(dim, label.axis)
        if after[dim] % size == 0 and behind % (after[dim] // size) == 0 and after[dim] > size:
            return Labelled(dim, label.axis.times(after[dim] // size))
        if size % after[dim] == 0 and after[dim] > 1:
            axis = label.axis.over(size // after[dim])
            if axis is not None:
                return Labelled(dim, axis)
    return _refuse(flow, node, f"the shape {list(before)} becomes {list(after)}, which mixes channels,")


def permute(flow: Flow, node: fx.Node) -> Label:
    """The axis moves."""
    label = channelwise(flow, node)
    if label is None:
        return None
    order = [dim % len(shape(node)) for dim in _sequence(node.args[1])]
    return Labelled(order.index(label.dim), label.axis)


def transpose(flow: Flow, node: fx.Node) -> Label:
    """The axis moves."""
    label = channelwise(flow, node)
    if label is None:
        return None
    one, other = (_dim(node, index, "", default=0) for index in (1, 2))
    return Labelled({one: other, other: one}.get(label.dim, label.dim), label.axis)


def expand(flow: Flow, node: fx.Node) -> Label:
    """The axis keeps its place from behind."""
    label = channelwise(flow, node)
    if label is None:
        return None
    dim = label.dim + len(shape(node)) - len(shape(_node(node.args[0])))
    if shape(node)[dim] != label.axis.length:
        return _refuse(flow, node, "one channel becomes several")
    return Labelled(dim, label.axis)


def reduction(flow: Flow, node: fx.Node) -> Label:
    """The axis stays if the mean, or whatever, is over other dimensions."""
    label = channelwise(flow, node)
    if label is None:
        return None
    ndim = len(shape(_node(node.args[0])))
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    dims = set() if isinstance(over, bool) else {dim % ndim for dim in _sequence(over)}
    if not dims or label.dim in dims:
        return _refuse(flow, node, "it runs over the channels")
    keeps = len(shape(node)) == ndim
    return Labelled(label.dim - (0 if keeps else sum(dim < label.dim for dim in dims)), label.axis)


def along_one(flow: Flow, node: fx.Node, *, default: int = 0, position: int = 1) -> Labels:
    """Every result has the channels of the operand, if it works along another dimension: softmax, slices, chunks."""
    label = channelwise(flow, node)
    if label is None:
        return None
    if _dim(node, position, "dim", default=default) == label.dim and shape(node) != shape(_node(node.args[0])):
        return _refuse(flow, node, "it works along the channels")
    value = node.meta.get("val")
    return [label] * len(value) if isinstance(value, list | tuple) else label


def softmax(flow: Flow, node: fx.Node) -> Labels:
    """The same channels, if it is over something else."""
    label = channelwise(flow, node)
    if label is not None and _dim(node, 1, "dim", default=0) == label.dim:
        return _refuse(flow, node, "it runs over the channels")
    return label


def select(flow: Flow, node: fx.Node) -> Labels:
    """One index of another dimension, which is gone."""
    label = along_one(flow, node)
    if not isinstance(label, Labelled):
        return None
    return Labelled(label.dim - (_dim(node, 1, "dim", default=0) < label.dim), label.axis)


def item(flow: Flow, node: fx.Node) -> Label:
    """One of several results."""
    found, index = flow.labels.get(_node(node.args[0])), node.args[1]
    return found[index] if isinstance(found, list) and isinstance(index, int) else None


def pad(flow: Flow, node: fx.Node) -> Label:
    """Zeros around the channels are channels that stay."""
    label = channelwise(flow, node)
    if label is None:
        return None
    widths = [int(width) for width in _sequence(node.args[1])]
    index = 2 * (len(shape(node)) - 1 - label.dim)
    around = widths[index : index + 2]
    if not any(around):
        return label
    if min(around) < 0 or (len(node.args) > 2 and node.args[2] != "constant" and operation(node) == "pad"):
        return _refuse(flow, node, "it cuts or repeats channels")
    reason = f"channels that {place(node)} adds"
    first, last = ([AxisPieces.new(width, reason=reason)] if width else [] for width in around)
    return Labelled(label.dim, joined([*first, label.axis, *last]))


def prelu(flow: Flow, node: fx.Node) -> Label:
    """A slope for each channel, or one for all."""
    read, weight = (_node(value) for value in node.args[:2])
    label = flow.label(read)
    if shape(weight) == (1,):
        return label
    slopes = flow.label(weight)
    if label is None or slopes is None or label.dim != 1:
        return _refuse(flow, node, "its slopes are not those of the channels")
    unify(label.axis, slopes.axis, place(node))
    return label


def nothing(flow: Flow, node: fx.Node) -> Label:
    """A check that has no result."""
    return None


def _refuse(flow: Flow, node: fx.Node, why: str) -> Label:
    flow.refuse(node, f"{why.rstrip(',')}: {operation(node)} in {place(node)}")
    return None


def _node(value: Any) -> fx.Node:
    assert isinstance(value, fx.Node)
    return value


def _sequence(value: Any) -> Sequence[Any]:
    """Return a list of an operation's arguments; a number is one of one, None is empty."""
    if isinstance(value, Sequence):
        return value
    return [] if value is None else [value]


def _dim(node: fx.Node, index: int, name: str, *, default: int) -> int:
    """Return an argument that is a dimension of the first operand, or of the result for a list of operands."""
    value = node.args[index] if len(node.args) > index else node.kwargs.get(name, default)
    first = node.args[0]
    ndim = len(shape(first if isinstance(first, fx.Node) else node))
    assert isinstance(value, int)
    return value % ndim


def _table(*groups: tuple[Callable[..., Labels], str]) -> dict[str, Rule]:
    return {name: rule for rule, names in groups for name in names.split()}


RULES: dict[str, Rule] = _table(
    (convolution, "conv2d"),
    (linear, "linear"),
    (batch_norm, "batch_norm"),
    (layer_norm, "layer_norm"),
    (elementwise, "add sub rsub mul div maximum minimum pow where eq ne lt le gt ge logical_and logical_or clamp"),
    (
        channelwise,
        "relu relu6 hardtanh hardswish hardsigmoid silu gelu sigmoid tanh elu celu selu leaky_relu softplus mish "
        "logsigmoid log_sigmoid abs neg exp log sqrt rsqrt square reciprocal erf threshold "
        "dropout feature_dropout alpha_dropout alias clone contiguous detach to _to_copy lift_fresh zeros_like "
        "ones_like full_like softsign tanhshrink hardshrink softshrink logit floor ceil round sign sin cos",
    ),
    (
        spatial,
        "max_pool2d avg_pool2d adaptive_avg_pool2d upsample_nearest2d upsample_bilinear2d upsample_bicubic2d "
        "_upsample_nearest_exact2d",
    ),
    (concatenate, "cat concat"),
    (reshape, "view reshape _unsafe_view flatten unflatten squeeze unsqueeze"),
    (permute, "permute"),
    (transpose, "transpose"),
    (expand, "expand"),
    (reduction, "mean sum amax amin var std"),
    (partial(along_one, position=2), "chunk split split_with_sizes"),
    (along_one, "slice"),
    (softmax, "softmax log_softmax"),
    (select, "select"),
    (item, "getitem"),
    (pad, "pad constant_pad_nd"),
    (prelu, "prelu"),
    (nothing, "_assert_tensor_metadata _assert_async _assert_scalar"),
)
"""By ATen name; an operation in place has the rule of the other."""
