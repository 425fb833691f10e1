"""How far the BN statistics of a network's widths lie apart."""

import pytest
import torch

from awnlib.evaluation.drift import bn_drift
from awnlib.layers import SharedBatchNorm2d
from tests.reference import drift_slowly, float64, small_lenet

WIDTHS = [1.0, 0.75, 0.5, 0.25]
BATCHES = [torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (7, 4)]
SWITCHABLE = {"layer": "sliced", "norm": "switchable"}


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def by_layer(rows):
    return {row["layer"]: row["drift"] for row in rows if row["width_mult"] is None}


@pytest.mark.parametrize("options", [{}, {"dense_base": True}, {"divisor": 2, "channels": {"conv2": 11}}])
def test_triangular_networks_do_not_drift(options):
    model = small_lenet(**options)
    drifts = by_layer(bn_drift(model, BATCHES, model.distinct_width_mults()))
    assert drifts.keys() == {"norm1", "norm2", "norm3"}
    assert max(drifts.values()) < 1e-6


@pytest.mark.parametrize(
    "options", [{"layer": "sliced"}, SWITCHABLE, {**SWITCHABLE, "switches": [1.0, 0.3], "affine": "shared"}]
)
def test_sliced_networks_drift_except_in_the_first_layer(options):
    drifts = by_layer(bn_drift(small_lenet(**options), BATCHES, WIDTHS))
    assert drifts["norm1"] < 1e-6  # an image has all its colours at every width
    assert drifts["norm2"] > 0.05
    assert drifts["norm3"] > 0.05


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}, SWITCHABLE])
@pytest.mark.parametrize("width_mults", [WIDTHS, [0.3, 0.8], [0.6, 1.0, 0.25]])
def test_drift_equals_the_distance_of_all_values(options, width_mults):
    model = small_lenet(**options)
    rows = bn_drift(model, BATCHES, width_mults)
    expected = drift_slowly(model, BATCHES, width_mults)
    assert [(row["layer"], row["width_mult"]) for row in rows] == [
        (layer, width) for layer in ("norm1", "norm2", "norm3") for width in [*width_mults, None]
    ]
    for row in rows:
        layer = int(row["layer"][-1]) - 1
        if row["width_mult"] is None:
            slow = max(expected[layer, width] for width in width_mults)
        else:
            slow = expected[layer, row["width_mult"]]
        assert row["drift"] == pytest.approx(slow, rel=1e-6, abs=1e-6)


def test_drift_by_hand(monkeypatch):
    """Two widths whose values are 0, 2 and 0, 4: the deviations are 1 and 2, the pooled mean 1.5 and variance 2.75."""
    model = small_lenet(layer="sliced", channels={"conv1": 2, "conv2": 2, "conv3": 2}, min_width_mult=0.5)
    monkeypatch.setattr(SharedBatchNorm2d, "forward", lambda self, x: x * 0)
    values = torch.zeros(2, 1, 16, 16)
    values[1] = 1
    with torch.no_grad():
        for name in ("conv2", "conv3"):
            model.get_submodule(name).weight.zero_()
        model.conv1.weight.zero_()
        model.conv1.weight[:, :, 1, 1] = 2
    model.conv1.register_forward_hook(lambda layer, _, output: output * (2 if layer.channels_out.active == 1 else 1))
    drift = {row["width_mult"]: row["drift"] for row in bn_drift(model, [values], [1.0, 0.5])}
    rows = {r["width_mult"]: r["drift"] for r in bn_drift(model, [values], [1.0, 0.5]) if r["layer"] == "norm1"}
    pooled, scale = 2.75**0.5, 2.75 + 1e-5
    first_channel = ((1 - 1.5) ** 2 + (1 - pooled) ** 2) / scale
    assert rows[1.0] == pytest.approx((first_channel / 2) ** 0.5)  # the second channel has one width only
    assert rows[0.5] == pytest.approx((((2 - 1.5) ** 2 + (2 - pooled) ** 2) / scale) ** 0.5)
    assert rows[None] == max(rows[1.0], rows[0.5])
    assert drift[1.0] == 0  # of the last layer, constant at all widths


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [{}, SWITCHABLE])
def test_the_model_is_left_as_it_is(options, training):
    model = small_lenet(**options).train(training)
    model.set_width_mult(0.7)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bn_drift(model, BATCHES, WIDTHS)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(module.training is training for module in model.modules())
    assert all(channels.width_mult == 0.7 for channels in model.channels.values())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("width_mults", [[], [0.5], [0.5, 0.5]])
def test_fewer_than_two_widths_are_refused(width_mults):
    with pytest.raises(ValueError, match="drift compares two or more widths, found"):
        bn_drift(small_lenet(), BATCHES, width_mults)


def test_a_width_outside_the_range_and_no_images_are_refused():
    with pytest.raises(ValueError, match=r"width_mult must be in \[0\.25, 1\], found 0\.1"):
        bn_drift(small_lenet(), BATCHES, [0.1, 1.0])
    with pytest.raises(ValueError, match="image"):
        bn_drift(small_lenet(), [], WIDTHS)
