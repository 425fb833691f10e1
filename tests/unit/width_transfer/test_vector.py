"""Width vectors: what they hold, their files, and the networks they fit."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from awnlib.models import create_model
from awnlib.settings import ConfigError
from awnlib.width_transfer.vector import Network, WidthVector

LENET = Network(name="lenet_3c1l", counts={"conv1": 32, "conv2": 32, "conv3": 32})
MULTIPLIERS = {"conv1": 0.5, "conv2": 1.6, "conv3": 0.01}


def lenet(**options):
    return WidthVector(network=LENET, multipliers=MULTIPLIERS, **options)


def test_counts_are_rounded_and_at_least_one():
    assert lenet().counts == {"conv1": 16, "conv2": 51, "conv3": 1}
    halves = WidthVector(network=LENET, multipliers={"conv1": 0.453125, "conv2": 1.0, "conv3": 1.0})
    assert halves.counts["conv1"] == 15  # 14.5


@given(st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), min_size=3, max_size=3))
def test_counts_come_back_exactly(pairs):
    full, counts = (dict(zip(("conv1", "conv2", "conv3"), values, strict=True)) for values in zip(*pairs, strict=True))
    vector = WidthVector.from_counts(Network(name="lenet_3c1l", counts=full), counts, {"optimizer": "none"})
    assert vector.counts == counts
    assert vector.multipliers == {name: counts[name] / full[name] for name in full}
    assert vector.provenance == {"optimizer": "none"}


def test_networks_describe_themselves():
    model = create_model("resnet18", layer="sliced", depth_mult=2, base_width_mult=0.1)
    model.set_width_mult(0.5)  # a description is that of the full width
    network = Network.of(model)
    assert (network.name, network.depth_mult, len(network.counts)) == ("resnet18", 2, 20)
    assert network.counts["stage4"] == 51


def test_files(tmp_path):
    path = tmp_path / "deep/widths.json"
    vector = lenet(provenance={"optimizer": "dmcp", "seed": 3, "macs": [1, 2.5], "note": None})
    vector.save(path)
    assert WidthVector.load(path) == vector
    assert [file.name for file in path.parent.iterdir()] == ["widths.json"]
    assert json.loads(path.read_text())["counts"] == vector.counts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"multipliers": {"conv1": 1.0, "conv2": 1.0}}, r"lenet_3c1l \(depth_mult 1\): missing conv3$"),
        ({"multipliers": {**MULTIPLIERS, "conv4": 1.0}}, r"lenet_3c1l \(depth_mult 1\): unknown conv4$"),
        ({"multipliers": {**MULTIPLIERS, "conv1": 0.0}}, "multiplier of conv1 must be above 0, found 0"),
        ({"multipliers": {**MULTIPLIERS, "conv1": "wide"}}, r"multipliers\.conv1: .*valid number.*'wide'"),
        ({"counts": {"conv1": 16, "conv2": 51, "conv3": 2}}, "counts must be those of the multipliers"),
        ({"network": {"name": "lenet_3c1l", "counts": {}}}, r"network\.counts: .*at least 1"),
        ({"weights": {}}, "weights: unknown key"),
    ],
)
def test_files_that_hold_no_width_vector_say_why(tmp_path, change, message):
    path = tmp_path / "widths.json"
    path.write_text(json.dumps({**lenet().model_dump(), **change}))
    with pytest.raises(ConfigError, match=message) as error:
        WidthVector.load(path)
    assert str(path) in str(error.value)


def test_missing_and_damaged_files(tmp_path):
    path = tmp_path / "widths.json"
    with pytest.raises(ConfigError, match=r"widths\.json.*\n.*does not exist"):
        WidthVector.load(path)
    path.mkdir()
    with pytest.raises(ConfigError, match=r"widths\.json is a folder, not a file"):
        WidthVector.load(path)
    path.rmdir()
    lenet().save(path)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ConfigError, match="not valid JSON"):
        WidthVector.load(path)


def test_the_network_of_a_vector():
    model = lenet().build(7, (1, 20, 20))
    assert {name: channels.active for name, channels in model.channels.items()} == lenet().counts
    assert (model.spec.layer, model.spec.norm, model.spec.min_width_mult) == ("sliced", "shared", 1.0)
    assert model(torch.randn(2, 1, 20, 20)).shape == (2, 7)
    assert lenet().build(7, (1, 20, 20), norm="switchable", switches=[1.0]).spec.norm == "switchable"


def test_a_deep_network_of_a_vector():
    base = create_model("mobilenet_v2", layer="sliced", base_width_mult=0.1, depth_mult=2, slim_last=True)
    counts = {name: channels.full + 3 for name, channels in base.channels.items()}
    model = WidthVector.from_counts(Network.of(base), counts).build(4, (3, 16, 16), stem="large")
    assert {name: channels.full for name, channels in model.channels.items()} == counts
    assert (model.spec.depth_mult, model.spec.stem) == (2, "large")
    assert model.eval()(torch.randn(2, 3, 16, 16)).shape == (2, 4)


def test_a_vector_of_another_network_is_refused():
    vector = lenet()
    vector.check_fits(create_model("lenet_3c1l", base_width_mult=2.0))
    with pytest.raises(ValueError, match=r"missing stage1, .*unknown conv1, conv2, conv3") as error:
        vector.check_fits(create_model("resnet18", base_width_mult=0.05))
    assert "lenet_3c1l (depth_mult 1) cannot be used for resnet18 (depth_mult 1)" in str(error.value)
    shallow, deep = (create_model("resnet18", base_width_mult=0.05, depth_mult=depth) for depth in (1, 2))
    counts = dict.fromkeys(shallow.channels, 3)
    with pytest.raises(ValueError, match=r"resnet18 \(depth_mult 1\).*resnet18 \(depth_mult 2\): missing inner9, "):
        WidthVector.from_counts(Network.of(shallow), counts).check_fits(deep)
    other = Network(name="resnet18", counts={"conv1": 3})
    with pytest.raises(ValueError, match="resnet18 has no channels conv1"):
        WidthVector(network=other, multipliers={"conv1": 1.0}).build(10, (3, 32, 32))
    part = Network(name="lenet_3c1l", counts={"conv1": 3})
    with pytest.raises(ValueError, match="missing conv2, conv3"):
        WidthVector(network=part, multipliers={"conv1": 1.0}).build(10, (1, 28, 28))
    with pytest.raises(ValueError, match=r"a mapping of counts does not fit .*missing conv2, conv3"):
        WidthVector.from_counts(LENET, {"conv1": 3})
    with pytest.raises(ValueError, match="multiplier of conv1 must be above 0"):
        WidthVector.from_counts(LENET, {"conv1": 0, "conv2": 1, "conv3": 1})
