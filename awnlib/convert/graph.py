"""How channels flow through a network: its exported graph, followed operation by operation.

`torch.export` gives a graph of ATen operations, in which functions, methods and modules are one spelling. Each value
is followed with the axis that holds its channels; the table of `awnlib.convert.rules` says what an operation does to
it. An operation that is not in the table keeps what it reads at full width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind

from awnlib.convert.dimensions import AxisPieces, unify


class Labelled(NamedTuple):
    """Which dimension of a value holds its channels, and what they are."""

    dim: int
    axis: AxisPieces


Label = Labelled | None
Labels = Label | list[Label]
Rule = Callable[["Flow", fx.Node], Labels]


class LayerAxes(NamedTuple):
    """What a layer reads and what it gives; both are the same axis for a norm."""

    inputs: AxisPieces
    outputs: AxisPieces


@dataclass
class Flow:
    """What was found out so far.

    Attributes
    ----------
    modules
        The network's modules by name.
    known
        Which of their classes can be made slimmable.
    keep
        Names of modules whose outputs keep their full width, and so do those of the modules in them.
    layers
        The axes of each layer that was met, by name.
    states
        The axes of parameters and buffers that no layer of a known class owns, by name: scales of layers.
    labels
        The channels of each node that was followed; a list for operations with several results.
    """

    modules: dict[str, nn.Module]
    known: Callable[[nn.Module], bool]
    keep: Collection[str] = ()
    layers: dict[str, LayerAxes] = field(default_factory=dict)
    states: dict[str, Labelled] = field(default_factory=dict)
    labels: dict[fx.Node, Labels] = field(default_factory=dict)
    state_names: dict[fx.Node, str] = field(default_factory=dict)

    def label(self, node: fx.Node) -> Label:
        """Return where a value has its channels, if that is known; a vector among the parameters has them begin."""
        found = self.labels.get(node)
        if found is None and node in self.state_names:
            found = self._label_of_state(node)
        return None if isinstance(found, list) else found

    def axis(self, node: fx.Node, dim: int, where: str) -> AxisPieces:
        """Return the channels of a value along the dimension where they must be, fixed if they are elsewhere."""
        label = self.labels.get(node)
        if isinstance(label, Labelled):
            if label.dim == dim:
                return label.axis
            label.axis.fix(f"{where} reads them along another dimension")
        return AxisPieces.new(shape(node)[dim], reason=f"{where} reads what is not understood")

    def layer(self, name: str, inputs: AxisPieces, outputs: AxisPieces) -> AxisPieces:
        """Note what a layer reads and gives, and return what it gives; called again, it is the same as before."""
        if name in self.layers:
            before = self.layers[name]
            unify(before.inputs, inputs, name)
            unify(before.outputs, outputs, name)
        if any(name == kept or name.startswith(f"{kept}.") for kept in self.keep):
            outputs.fix("kept as asked")
        self.layers.setdefault(name, LayerAxes(inputs, outputs))
        return outputs

    def owner(self, *states: Any) -> str | None:
        """Return the layer that owns parameters or buffers, if it is one and its class is known."""
        names = {self.state_names[state].rpartition(".")[0] for state in states if state in self.state_names}
        if len(names) != 1 or any(isinstance(state, fx.Node) and state not in self.state_names for state in states):
            return None
        (name,) = names
        return name if self.known(self.modules[name]) else None

    def refuse(self, node: fx.Node, reason: str) -> None:
        """Fix the channels of all that an operation reads."""
        for read in node.all_input_nodes:
            found = self.labels.get(read)
            for label in found if isinstance(found, list) else [found]:
                if label is not None:
                    label.axis.fix(reason)

    def _label_of_state(self, node: fx.Node) -> Label:
        long = [dim for dim, size in enumerate(shape(node)) if size > 1]
        if len(long) != 1:
            return None
        name = self.state_names[node]
        label = Labelled(long[0], AxisPieces.new(shape(node)[long[0]], name))
        self.labels[node] = self.states[name] = label
        return label


def follow(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    rules: Mapping[str, Rule],
    *,
    known: Callable[[nn.Module], bool],
    keep: Collection[str] = (),
) -> Flow:
    """Export a network in evaluation mode and follow its channels.

    Parameters
    ----------
    model
        The network; it is left as it is.
    inputs
        What it is called with, `[N, C, H, W]` with N of 2 or more, so that no size of 1 is taken for another.
    rules
        What each operation does, by its ATen name.
    known
        Whether a layer can be made slimmable.
    keep
        Names of modules to keep at full width.

    Raises
    ------
    ValueError
        If some parameters are not used in evaluation: layers for training alone cannot be followed.
    """
    program = torch.export.export(model, inputs)
    flow = Flow(dict(model.named_modules()), known, keep)
    nodes = {node.name: node for node in program.graph.nodes}
    unused = []
    for spec in program.graph_signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            flow.state_names[node] = str(spec.target)
            if spec.kind == InputKind.PARAMETER and not node.users:
                unused.append(str(spec.target))
        elif spec.kind == InputKind.USER_INPUT and len(shape(node)) > 1:
            flow.labels[node] = Labelled(1, AxisPieces.new(shape(node)[1], reason="an input of the network"))
    if unused:
        raise ValueError(
            f"{', '.join(unused)}: not used in evaluation, so what these layers read is not known; build the network "
            "without them (aux_logits=False)"
        )
    for node in program.graph.nodes:
        _step(flow, node, rules)
    return flow


def _step(flow: Flow, node: fx.Node, rules: Mapping[str, Rule]) -> None:
    if node.op == "output":
        flow.refuse(node, "an output of the network")
    if node.op != "call_function":
        return
    name = operation(node)
    found = flow.labels[node] = rules[name](flow, node) if name in rules else None
    if (node.users and (found is None or (isinstance(found, list) and None in found))) or name not in rules:
        flow.refuse(node, f"no rule for the operation {name} in {place(node)}")


def operation(node: fx.Node) -> str:
    """Return the ATen name of what a node does; what is done in place has the same name."""
    target = node.target
    name = target._opname if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", str(target))
    return name.rstrip("_")


def place(node: fx.Node) -> str:
    """Return the module in whose `forward` a node stands, for messages."""
    stack = node.meta.get("nn_module_stack") or {}
    names = [path for path, _ in stack.values() if path]
    return names[-1] if names else "the network's forward"


def shape(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a value; `()` if it is no tensor."""
    value = node.meta.get("val")
    return tuple(map(int, value.shape)) if isinstance(value, Tensor) else ()


def tensors(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the operands of an operation on numbers, as often as it reads them."""
    for value in [*node.args, *node.kwargs.values()]:
        if isinstance(value, fx.Node):
            yield value
