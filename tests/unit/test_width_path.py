"""Slimming of a trained network against brute force on extracted networks, and the path that it leaves."""

import copy

import pytest
import torch
from torch import nn

from awnlib.deploy.extract import extract
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.slimming import slimmed_counts, slimmed_networks
from awnlib.evaluation.width_path import NetworkSlimming, along_path, networks_by_width, width_path
from awnlib.model_cost import cost
from awnlib.models import model_names
from tests.reference import float64, is_classifier, small_lenet, small_model

US_NET = {"layer": "sliced", "norm": "switchable", "affine": "shared", "switches": [1.0, 0.25]}
WITH_NORMS = [name for name in model_names() if is_classifier(name) and any(small_model(name).norms())]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def us_net(name="lenet_3c1l", **options):
    return (small_lenet(**US_NET, **options) if name == "lenet_3c1l" else small_model(name, **US_NET, **options)).eval()


def batches_of(model, sizes=(12, 9)):
    generator = torch.Generator().manual_seed(0)
    shape, classes = model.spec.input_shape, model.spec.num_classes
    return [
        (torch.randn(size, *shape, generator=generator), torch.randint(classes, (size,), generator=generator))
        for size in sizes
    ]


def slim(model, bins=4, batches=None):
    """Slim to the smallest network; return the search and its rows."""
    slimming, rows = NetworkSlimming(model, batches or batches_of(model), bins), []
    while found := slimming.step(rows):
        rows += found
    return slimming, rows


def test_greedy_slimming_is_brute_force_on_extracted_networks():
    model = us_net()
    batches = batches_of(model)
    grid = {"conv1": [5, 4, 3, 1], "conv2": [8, 6, 4, 2], "conv3": [6, 5, 3, 2]}  # 1, .75, .5, .25 of each, halves up

    def errors(counts):
        vector = {name: max(counts[name] / model.channels[name].full, 0.25) for name in counts}
        plain = extract(model, vector).train()
        wrong = sum(int((plain(images).argmax(1) != labels).sum()) for images, labels in batches)
        return 100 * wrong / 21

    counts = {name: options[0] for name, options in grid.items()}
    expected = [(dict(counts), errors(counts))]
    while any(counts[name] > options[-1] for name, options in grid.items()):
        tried = {
            name: {**counts, name: options[options.index(counts[name]) + 1]}
            for name, options in sorted(grid.items())
            if counts[name] > options[-1]
        }
        counts = min(tried.values(), key=errors)
        expected.append((counts, errors(counts)))
    before = copy.deepcopy(model.state_dict())
    slimming, rows = slim(model, batches=batches)
    found = list(slimmed_networks(rows))
    assert [(one.counts, one.error_pct) for one in found] == expected
    assert slimming.num_steps == len(found) - 1 == 9
    for one in found:
        model.set_widths(slimming.vector(one.counts))
        assert {name: channels.active for name, channels in model.channels.items()} == one.counts
        assert cost(model).macs == one.macs
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


@pytest.mark.parametrize("divisor", [1, 2])
def test_a_width_of_the_path_has_the_largest_slimmed_network_that_costs_no_more(divisor):
    model = us_net(divisor=divisor)
    _, rows = slim(model)
    slimmed = along_path(model, width_path(networks_by_width(model, rows)))
    widths = sorted({*model.distinct_width_mults(), *slimmed.distinct_width_mults(), *model.changes, 0.3, 0.6})
    for width_mult in widths:
        model.set_width_mult(width_mult)
        slimmed.set_width_mult(width_mult)
        active = {name: channels.active for name, channels in slimmed.channels.items()}
        assert active == slimmed_counts(rows, cost(model).macs)
        assert cost(slimmed).macs <= cost(model).macs
    for end in (model.min_width_mult, 1.0):
        model.set_width_mult(end)
        slimmed.set_width_mult(end)
        assert cost(slimmed) == cost(model)


@pytest.mark.parametrize("name", WITH_NORMS)
def test_statistics_at_a_vector_are_those_of_the_extracted_network(name):
    """Whatever the layers: residual sums, depthwise convolutions and expansions keep consistent counts."""
    model = us_net(name)
    inputs = [images for images, _ in batches_of(model, sizes=(8, 8))]
    ends = {name: (channels.count(model.min_width_mult), channels.full) for name, channels in model.channels.items()}
    path = {
        name: ((0.0, low), (0.4 if index % 2 else 0.8, full)) if low < full else ((0.0, full),)
        for index, (name, (low, full)) in enumerate(ends.items())
    }
    slimmed = along_path(model, path)
    assert next(iter(slimmed.parameters())).dtype == torch.float64
    width_mult = 0.6
    vector = {name: 1.0 if index % 2 else model.min_width_mult for index, name in enumerate(model.channels)}
    recalibrate_bn(model, inputs, vector)
    recalibrate_bn(slimmed, inputs, [model.min_width_mult, width_mult, 1.0])
    plain = extract(model, vector).train()
    norms = [module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
    for images in inputs:
        plain(images)
    expected = plain.eval()(inputs[0])
    assert norms
    for network, width in ((model, vector), (slimmed, width_mult)):
        found = extract(network, width)
        for layer, norm in plain.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                other = found.get_submodule(layer)
                torch.testing.assert_close(other.running_mean, norm.running_mean, rtol=1e-10, atol=1e-12)
                torch.testing.assert_close(other.running_var, norm.running_var, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(found(inputs[0]), expected, rtol=1e-10, atol=1e-12)


def test_fixed_dimensions_are_not_slimmed():
    model = us_net("mobilenet_v2")
    fixed = [name for name, channels in model.channels.items() if channels.fixed]
    slimming = NetworkSlimming(model, batches_of(model), bins=2)
    tried = slimming.step(slimming.step([]))
    assert fixed
    assert {row["channels"] for row in tried} == model.channels.keys() - set(fixed)
    assert all(len(slimming.options[name]) == 1 for name in fixed)


def test_networks_with_several_sets_of_statistics_start_them_anew():
    model = us_net()
    inputs = [images for images, _ in batches_of(model)]
    recalibrate_bn(model, inputs, [0.25, 0.5, 1.0])
    _, rows = slim(model)
    slimmed = along_path(model, width_path(networks_by_width(model, rows)))
    assert slimmed.switch_width_mults == [0.25, 1.0]
    assert not slimmed.norm1.norms[0].running_mean.any()
    assert model.switch_width_mults == [0.25, 0.5, 1.0]
    private = small_lenet(layer="sliced", norm="switchable", switches=[1.0, 0.5, 0.25])
    with pytest.raises(ValueError, match="switches with private scale and shift are trained"):
        along_path(private, {})


def test_wrong_use_is_refused():
    model = us_net()
    with pytest.raises(ValueError, match="slimming needs at least one image"):
        NetworkSlimming(model, [], 4)
    with pytest.raises(ValueError, match="slimming needs 2 bins or more, found 1"):
        NetworkSlimming(model, batches_of(model), 1)
    with pytest.raises(ValueError, match="lenet_3c1l has no channels nowhere"):
        along_path(model, {"nowhere": ((0.0, 1),)})
