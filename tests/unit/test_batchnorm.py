"""Shared and switchable batch normalisation against `torch.nn.BatchNorm2d`."""

import pytest
import torch
from torch import nn

from awnlib.channels import Channels
from awnlib.layers import SharedBatchNorm2d, SwitchableBatchNorm2d
from awnlib.layers.batchnorm import next_larger
from tests.reference import float64, shake_norm

WIDTHS = [1.0, 0.3, 0.6, 0.3, 1.0, 0.8]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def images_of(channels):
    return torch.randn(3, channels.active, 4, 5) * torch.arange(1, channels.active + 1).view(-1, 1, 1) + 2


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("momentum", [0.1, 0.9, 0.0])
def test_shared_statistics_are_those_of_each_channel_alone(momentum):
    """Every channel is updated by the passes that keep it, as if it had a norm of its own."""
    torch.manual_seed(0)
    channels = Channels(6)
    norm = SharedBatchNorm2d(channels, momentum=momentum, eps=1e-3)
    alone = [nn.BatchNorm2d(1, momentum=momentum, eps=1e-3) for _ in range(6)]
    with torch.no_grad():
        shake_norm(norm)
        for c, single in enumerate(alone):
            single.weight.fill_(norm.weight[c])
            single.bias.fill_(norm.bias[c])
            single.running_mean.fill_(norm.running_mean[c])
            single.running_var.fill_(norm.running_var[c])
    for training, widths in ((True, WIDTHS), (False, [0.5, 1.0])):
        norm.train(training)
        for width_mult in widths:
            channels.set_width_mult(width_mult)
            images = images_of(channels)
            expected = [alone[c].train(training)(images[:, [c]]) for c in range(channels.active)]
            close(norm(images), torch.cat(expected, dim=1))
    close(norm.running_mean, torch.cat([single.running_mean for single in alone]))
    close(norm.running_var, torch.cat([single.running_var for single in alone]))


def test_shared_at_full_width_is_the_plain_layer():
    norm, plain = SharedBatchNorm2d(Channels(4)), nn.BatchNorm2d(4)
    shake_norm(norm)
    plain.load_state_dict(norm.state_dict())
    for training in (True, False, True):
        images = torch.randn(2, 4, 3, 3)
        assert torch.equal(norm.train(training)(images), plain.train(training)(images))
    assert all(torch.equal(norm.state_dict()[name], value) for name, value in plain.state_dict().items())


def test_shared_passes_gradients_to_the_active_entries_only():
    channels = Channels(4)
    norm = SharedBatchNorm2d(channels)
    channels.set_width_mult(0.5)
    (norm(torch.randn(2, 2, 3, 3)) * torch.randn(2, 2, 3, 3)).sum().backward()
    for grad in (norm.weight.grad, norm.bias.grad):
        assert bool((grad[:2] != 0).all())
        assert torch.count_nonzero(grad[2:]) == 0


def test_shared_updates_stand_for_several_passes():
    """One pass with `updates` c leaves the statistics of c passes with the same batch."""
    channels = Channels(4)
    norm, slow = SharedBatchNorm2d(channels), SharedBatchNorm2d(channels)
    images = torch.randn(3, 4, 4, 4) + 1
    norm.updates = torch.tensor([4, 3, 1, 1])
    output = norm(images)
    norm.updates = None
    for width_mult in (1.0, 0.5, 0.5, 0.25):
        channels.set_width_mult(width_mult)
        prefix = slow(images[:, : channels.active])
        close(output[:, : channels.active], prefix)
    close(norm.running_mean, slow.running_mean)
    close(norm.running_var, slow.running_var)
    assert norm.num_batches_tracked == slow.num_batches_tracked == 4


@pytest.mark.parametrize("affine", ["private", "shared"])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_switchable_equals_one_plain_layer_for_each_width(affine, momentum):
    torch.manual_seed(0)
    channels = Channels(6)
    norm = SwitchableBatchNorm2d(channels, [1.0, 0.5, 0.3], affine=affine, momentum=momentum)
    plain = {w: nn.BatchNorm2d(channels.count(w), momentum=momentum) for w in (1.0, 0.5, 0.3)}
    assert [len(n.running_mean) for n in norm.norms] == [2, 3, 6]
    if affine == "private":
        for own, width_mult in zip(norm.norms, norm.width_mults, strict=True):
            shake_norm(own)
            plain[width_mult].load_state_dict(own.state_dict())
    else:
        shake_norm(norm)
        for other in plain.values():
            other.weight.data, other.bias.data = (p.data[: other.num_features] for p in (norm.weight, norm.bias))
    for training, widths in ((True, [1.0, 0.3, 0.5, 0.3, 1.0]), (False, [0.3, 0.5, 1.0])):
        for width_mult in widths:
            channels.set_width_mult(width_mult)
            images = images_of(channels)
            close(norm.train(training)(images), plain[width_mult].train(training)(images))
    for own, width_mult in zip(norm.norms, norm.width_mults, strict=True):
        close(own.running_mean, plain[width_mult].running_mean)
        close(own.running_var, plain[width_mult].running_var)


@pytest.mark.parametrize("affine", ["private", "shared"])
@pytest.mark.parametrize(("width_mult", "switch"), [(0.25, 0.3), (0.31, 0.6), (0.5, 0.6), (0.6, 0.6), (0.7, 1.0)])
def test_a_width_in_between_uses_the_next_larger_one(affine, width_mult, switch):
    torch.manual_seed(0)
    channels = Channels(10)
    norm = SwitchableBatchNorm2d(channels, [0.3, 0.6, 1.0], affine=affine, eps=1e-3).eval()
    shake_norm(norm)
    for own in norm.norms:
        shake_norm(own)
    channels.set_width_mult(width_mult)
    source = norm.norms[[0.3, 0.6, 1.0].index(switch)]
    scale = source if affine == "private" else norm
    images, active = images_of(channels), channels.active
    mean, var, weight, bias = (
        x[:active].view(-1, 1, 1) for x in (source.running_mean, source.running_var, scale.weight, scale.bias)
    )
    close(norm(images), (images - mean) / torch.sqrt(var + 1e-3) * weight + bias)
    assert norm.switch_width_mult == switch
    assert norm.statistics is source


@pytest.mark.parametrize("affine", ["private", "shared"])
@pytest.mark.parametrize("width_mult", [0.25, 0.3, 0.45, 0.5, 0.6, 0.7, 0.9, 1.0])
def test_a_width_in_between_interpolates_its_neighbours(affine, width_mult):
    torch.manual_seed(0)
    channels, switches = Channels(10), [0.3, 0.6, 1.0]
    norm = SwitchableBatchNorm2d(channels, switches, affine=affine).eval()
    shake_norm(norm)
    for own in norm.norms:
        shake_norm(own)
    channels.set_width_mult(width_mult)
    by_next_larger = norm.vectors()
    norm.between = "interpolated"
    images = images_of(channels)

    def vector(switch, name):
        own = norm.norms[switches.index(switch)]
        return getattr(own if name.startswith("running") or affine == "private" else norm, name).tolist()

    larger = min(switch for switch in switches if switch >= width_mult)
    smaller = max([switch for switch in switches if switch <= width_mult], default=larger)
    share = 1.0 if smaller == larger else (width_mult - smaller) / (larger - smaller)
    expected = []
    for name in ("running_mean", "running_var", "weight", "bias"):
        few, many = vector(smaller, name), vector(larger, name)
        kept = channels.count(smaller)
        values = [(1 - share) * few[i] + share * many[i] if i < kept else many[i] for i in range(channels.active)]
        expected.append(torch.tensor(values))
    for actual, wanted in zip(norm.vectors(), expected, strict=True):
        close(actual, wanted)
    mean, var, weight, bias = (x.view(-1, 1, 1) for x in expected)
    close(norm(images), (images - mean) / torch.sqrt(var + 1e-5) * weight + bias)
    is_between = width_mult in (0.45, 0.5, 0.7, 0.9)
    assert torch.allclose(norm.vectors().mean, by_next_larger.mean) != is_between


@pytest.mark.parametrize("affine", ["private", "shared"])
def test_an_unlisted_width_is_trained_with_its_batch_and_tracked_nowhere(affine):
    torch.manual_seed(0)
    channels = Channels(8)
    norm = SwitchableBatchNorm2d(channels, [0.5, 1.0], affine=affine)
    for module in norm.modules():
        shake_norm(module)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    channels.set_width_mult(0.75)
    images = images_of(channels)
    mean = images.mean(dim=(0, 2, 3), keepdim=True)
    var = images.var(dim=(0, 2, 3), keepdim=True, correction=0)
    scale = norm.norms[1] if affine == "private" else norm
    weight, bias = (p[:6].view(-1, 1, 1) for p in (scale.weight, scale.bias))
    close(norm(images), (images - mean) / torch.sqrt(var + 1e-5) * weight + bias)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_new_switches_start_anew_and_keep_scale_and_shift():
    norm = SwitchableBatchNorm2d(Channels(8), [0.5, 1.0], affine="shared")
    for module in norm.modules():
        shake_norm(module)
    weight = norm.weight.detach().clone()
    norm.set_switches([1.0, 0.75, 0.25])
    assert norm.width_mults == [0.25, 0.75, 1.0]
    assert [n.running_mean.tolist() for n in norm.norms] == [[0.0] * 2, [0.0] * 6, [0.0] * 8]
    assert [n.running_var.tolist() for n in norm.norms] == [[1.0] * 2, [1.0] * 6, [1.0] * 8]
    assert torch.equal(norm.weight, weight)
    assert "width_mults=[0.25, 0.75, 1.0], affine=shared" in repr(norm)


def test_new_switches_have_the_dtype_of_the_layer():
    norm = SwitchableBatchNorm2d(Channels(8), [1.0], affine="shared").float()  # not the default dtype of this file
    norm.set_switches([0.5, 1.0])
    assert {n.running_mean.dtype for n in norm.norms} == {torch.float32}


def test_wrong_use_of_switches_is_refused():
    channels = Channels(8)
    private = SwitchableBatchNorm2d(channels, [0.5])
    with pytest.raises(ValueError, match="private scale and shift are trained, they cannot be replaced"):
        private.set_switches([1.0])
    with pytest.raises(ValueError, match="must be one or more widths, found none"):
        SwitchableBatchNorm2d(channels, [])
    for widths in ([0.5, 0.5], [0.3, 1.0, 0.1 + 0.2]):
        with pytest.raises(ValueError, match="must be different, by more than rounding"):
            SwitchableBatchNorm2d(channels, widths)
    with pytest.raises(ValueError, match=r"width_mult must be in \[0\.25, 1\], found 0\.1"):
        SwitchableBatchNorm2d(channels, [1.0, 0.1])
    with pytest.raises(ValueError, match=r"unknown affine 'own' \(allowed: private, shared\)"):
        SwitchableBatchNorm2d(channels, [1.0], affine="own")
    with pytest.raises(ValueError, match=r"unknown between 'nearest' \(allowed: next_larger, interpolated\)"):
        private.between = "nearest"
    assert private.between == "next_larger"
    with pytest.raises(ValueError, match=r"no BN statistics for width_mult 1\.0: the largest is 0\.5"):
        private.eval()(torch.zeros(1, 8, 2, 2))


def test_next_larger():
    assert next_larger(0.3, [1.0, 0.25, 0.5]) == 0.5
    assert next_larger(0.5, [1.0, 0.25, 0.5]) == 0.5
    with pytest.raises(ValueError, match=r"no BN statistics for width_mult 0\.6: the largest is 0\.5"):
        next_larger(0.6, [0.25, 0.5])
