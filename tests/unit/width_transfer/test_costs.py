"""MACs as a function of channel counts, against the cost of the network itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from awnlib.channels import Channels
from awnlib.model_cost import cost
from awnlib.models import create_model
from awnlib.width_transfer.costs import LayerCost, layer_costs, total_macs

MODELS = {
    "lenet_3c1l": create_model("lenet_3c1l", layer="sliced", min_width_mult=0.1),
    "mobilenet_v2": create_model(
        "mobilenet_v2",
        layer="sliced",
        min_width_mult=0.1,
        slim_last=True,
        base_width_mult=0.3,
        input_shape=(3, 40, 40),
    ),
    "resnet18": create_model(
        "resnet18", layer="sliced", min_width_mult=0.1, base_width_mult=0.2, input_shape=(3, 40, 40)
    ),
}


@pytest.mark.parametrize("name", MODELS)
@given(st.data())
@settings(deadline=None, max_examples=10)
def test_every_width_vector_costs_what_the_network_costs(name, data):
    model = MODELS[name]
    model.set_widths({name: data.draw(st.floats(0.1, 1.0)) for name in model.channels})
    assert total_macs(layer_costs(model), lambda channels: channels.active) == cost(model).macs


def test_layers_in_words():
    model = create_model("lenet_3c1l", layer="sliced", input_shape=(1, 28, 28))
    conv1, conv2, conv3 = model.channels.values()
    first, *_, last = layer_costs(model)
    assert (first.name, first.outputs, first.macs_per_connection) == ("conv1", conv1, 26 * 26 * 9)
    assert first.inputs.fixed
    assert first.inputs.full == 1
    assert (last.name, last.inputs, last.macs_per_connection, last.outputs.full) == ("classifier", conv3, 16, 10)
    assert last.outputs.fixed
    assert [layer.depthwise for layer in layer_costs(model)] == [False] * 4
    assert conv2.name == "conv2"


def test_two_layers_by_hand():
    colours, a, b = Channels(3, fixed=True), Channels(4, name="a"), Channels(6, name="b")
    layers = [
        LayerCost("dense", colours, a, 100, False),
        LayerCost("depthwise", a, a, 9, True),
        LayerCost("pointwise", a, b, 10, False),
    ]
    assert total_macs(layers, lambda channels: channels.full) == 100 * 3 * 4 + 9 * 4 + 10 * 4 * 6
    counts = {"": torch.tensor(3.0), "a": torch.tensor(4.0, requires_grad=True), "b": torch.tensor(6.0)}
    macs = total_macs(layers, lambda channels: counts[channels.name])
    macs.backward()
    assert macs.item() == 100 * 3 * 4 + 9 * 4 + 10 * 4 * 6
    assert float(counts["a"].grad) == 100 * 3 + 9 + 10 * 6
    assert total_macs(layers, lambda channels: 0.5 * channels.full) == 300 + 18 + 60


def test_triangular_networks_are_refused():
    with pytest.raises(ValueError, match="need sliced layers, found the triangular conv1"):
        layer_costs(create_model("lenet_3c1l"))
