"""Norms over axes of several dimensions: statistics of every width in their places, means over what is active."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.layers import Segments, SlimmableConv2d, SlimmableLayerNorm, SlimmableNetwork, SwitchableBatchNorm2d
from awnlib.layers.segments import take
from tests.reference import float64

WIDTHS = [0.25, 0.5, 0.75, 1.0]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        torch.manual_seed(0)
        yield


def concatenation(width_mult):
    a, b = Channels(4, name="a"), Channels(6, name="b")
    axis = Segments([(a, 1), (Channels(1, fixed=True, name="fixed"), 2), (b, 1)])
    for part in axis.parts:
        part.channels.set_width_mult(width_mult)
    return axis


def set_width(axis, width_mult):
    for part in axis.parts:
        part.channels.set_width_mult(width_mult)


def trained_norm(affine="shared"):
    """A norm of 12 channels with switches .5 and 1, trained on one batch at each; and these batches."""
    axis = concatenation(1.0)
    norm = SwitchableBatchNorm2d(axis, [0.5, 1.0], affine=affine)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    batches = {}
    for width_mult in (0.5, 1.0):
        set_width(axis, width_mult)
        batches[width_mult] = torch.randn(5, axis.active, 3, 2)
        norm(batches[width_mult])
    return norm.eval(), axis, batches


def full_statistics(axis, width_mult, batch):
    """Mean and variance of all channels after one batch, by the rule of BatchNorm2d; 0 and 1 for those that are cut."""
    set_width(axis, width_mult)
    where = take(torch.arange(12), axis)
    mean = torch.zeros(12).index_copy(0, where, 0.1 * batch.mean(dim=(0, 2, 3)))
    var = torch.ones(12).index_copy(0, where, 0.9 + 0.1 * batch.var(dim=(0, 2, 3)))
    return mean, var, where


def test_statistics_of_a_concatenation_are_kept_where_its_channels_are():
    norm, axis, batches = trained_norm()
    assert [layer.num_features for layer in norm.norms] == [12, 12]
    for width_mult, layer in zip((0.5, 1.0), norm.norms, strict=True):
        mean, var, _ = full_statistics(axis, width_mult, batches[width_mult])
        torch.testing.assert_close(layer.running_mean, mean)
        torch.testing.assert_close(layer.running_var, var)
        assert layer.num_batches_tracked == 1


@pytest.mark.parametrize("affine", ["shared", "private"])
@pytest.mark.parametrize("width_mult", [0.25, 0.5, 0.75, 1.0])
def test_a_width_uses_its_channels_of_the_next_larger_switch(width_mult, affine):
    norm, axis, batches = trained_norm(affine)
    switch = 0.5 if width_mult <= 0.5 else 1.0
    mean, var, _ = full_statistics(axis, switch, batches[switch])
    set_width(axis, width_mult)
    where = take(torch.arange(12), axis)
    images = torch.randn(2, axis.active, 3, 3)
    of = norm if affine == "shared" else norm.norms[width_mult > 0.5]
    expected = F.batch_norm(images, mean[where], var[where], of.weight[where], of.bias[where])
    torch.testing.assert_close(norm(images), expected)


def test_interpolated_statistics_of_a_concatenation():
    norm, axis, batches = trained_norm()
    norm.between = "interpolated"
    few = full_statistics(axis, 0.5, batches[0.5])
    many = full_statistics(axis, 1.0, batches[1.0])
    set_width(axis, 0.75)
    vectors = norm.vectors()
    for column, channel in enumerate(take(torch.arange(12), axis).tolist()):
        known = channel in few[2].tolist()
        for name, small, large in zip(("mean", "var"), few, many, strict=False):
            expected = (small[channel] + large[channel]) / 2 if known else large[channel]
            torch.testing.assert_close(getattr(vectors, name)[column], expected)


def test_a_width_without_statistics_is_tracked_nowhere():
    norm, axis, _ = trained_norm()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.train()
    set_width(axis, 0.25)
    images = torch.randn(4, axis.active, 2, 2)
    where = take(torch.arange(12), axis)
    expected = F.batch_norm(images, None, None, norm.weight[where], norm.bias[where], training=True)
    torch.testing.assert_close(norm(images), expected)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


@pytest.mark.parametrize("width_mult", WIDTHS)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}], ids=str)
def test_layer_norms_are_over_the_active_channels(width_mult, options):
    axis = concatenation(width_mult)
    where = take(torch.arange(12), axis)
    images = torch.randn(2, axis.active, 3, 4)
    first = SlimmableLayerNorm(axis, channels_first=True, eps=1e-3, **options)
    for parameter in first.parameters():
        nn.init.normal_(parameter)
    expected = (images - images.mean(dim=1, keepdim=True)) / (
        images.var(dim=1, keepdim=True, unbiased=False) + 1e-3
    ).sqrt()
    if first.weight is not None:
        expected = expected * first.weight[where, None, None]
    if first.bias is not None:
        expected = expected + first.bias[where, None, None]
    torch.testing.assert_close(first(images), expected)
    last = SlimmableLayerNorm(axis, eps=1e-3, **options)
    last.load_state_dict(first.state_dict())
    torch.testing.assert_close(last(images.movedim(1, -1)), expected.movedim(1, -1))


class Concatenated(SlimmableNetwork):
    """Two convolutions side by side, the image's own channels between them, and a norm of all."""

    def __init__(self):
        a, b = Channels(4, name="a"), Channels(6, name="b")
        fixed = Channels(1, fixed=True, name="fixed")
        super().__init__({"a": a, "b": b, "fixed": fixed}, (2, 5, 5))
        self.left, self.right = SlimmableConv2d(2, a, 1), SlimmableConv2d(2, b, 3, padding=1)
        self.norm = SwitchableBatchNorm2d(Segments([(a, 1), (fixed, 2), (b, 1)]), [1.0], affine="shared")
        self.of_image = SwitchableBatchNorm2d(Segments([(fixed, 2)]), [1.0], affine="shared")

    def forward(self, images):
        images = self.of_image(images)
        return self.norm(torch.cat([self.left(images), images, self.right(images)], dim=1)).sum(dim=(1, 2, 3))


@pytest.mark.parametrize("widths", [[0.5, 1.0], {"a": 0.5, "b": 1.0}], ids=str)
def test_norms_of_fixed_and_concatenated_channels_are_recalibrated(widths):
    torch.manual_seed(1)
    network = Concatenated()
    images = torch.randn(8, 2, 5, 5)
    recalibrate_bn(network, [images], widths)
    for width in [widths] if isinstance(widths, dict) else widths:
        network.set_width(width)
        network.train()
        expected = network(images).detach()  # normalised by the batch
        network.eval()
        biased = (8 * 25 - 1) / (8 * 25)
        for norm in (norm for _, norm in network.norms()):
            norm.statistics.running_var *= biased
        torch.testing.assert_close(network(images), expected)


def test_width_vectors_name_what_is_not_fixed():
    network = Concatenated()
    network.set_widths({"a": 0.5, "b": 0.75})
    assert [channels.width_mult for channels in network.channels.values()] == [0.5, 0.75, 0.75]
    network.set_widths({"a": 0.5, "b": 0.75, "fixed": 1.0})
    assert network.channels["fixed"].width_mult == 1.0
    for wrong in ({"a": 0.5}, {"a": 0.5, "b": 0.5, "c": 0.5}):
        with pytest.raises(ValueError, match="a width vector names a, b, found a"):
            network.set_widths(wrong)
