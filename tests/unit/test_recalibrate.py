"""BN statistics after training against those computed by hand, layer by layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.evaluation.recalibrate import RecalibrationError, recalibrate_bn
from awnlib.layers import SharedBatchNorm2d, SwitchableBatchNorm2d
from awnlib.tasks.classification import backward_widths
from tests.reference import exact_statistics, float64, plain_lenet, small_lenet

VECTOR = {"conv1": 0.4, "conv2": 1.0, "conv3": 0.5}
SHARED = {"layer": "sliced"}
SWITCHABLE = {"layer": "sliced", "norm": "switchable", "affine": "shared"}


S_NET = {"layer": "sliced", "norm": "switchable"}


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 1, 16, 16, generator=generator) * (1 + i) + i for i, n in enumerate((6, 4, 8))]


def set_width(model, width):
    model.set_widths(width) if isinstance(width, dict) else model.set_width_mult(width)


def statistics(model, width):
    """The statistics that the model uses at a width, in the order of the layers."""
    set_width(model, width)
    norms = [norm for norm in plain_lenet(model) if isinstance(norm, nn.BatchNorm2d)]
    return [(norm.running_mean, norm.running_var) for norm in norms]


def assert_close(actual, expected, **tolerance):
    assert len(actual) == len(expected) == 3
    for own, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(own, other, **tolerance)


@pytest.mark.parametrize(
    ("options", "widths"),
    [
        (SHARED, [1.0]),
        (SHARED, [0.4]),
        (SHARED, VECTOR),
        ({}, [0.6]),
        (SWITCHABLE, [1.0]),
        (SWITCHABLE, [0.3, 0.55, 1.0]),
        (SWITCHABLE, [1.0, 0.25, 0.7]),
        (SWITCHABLE, VECTOR),
        ({**SWITCHABLE, "layer": "triangular"}, [0.25, 1.0]),
    ],
)
def test_exact_statistics_are_means_over_the_batches(options, widths, batches):
    model = small_lenet(**options)
    recalibrate_bn(model, batches, widths)
    for width in [widths] if isinstance(widths, dict) else widths:
        set_width(model, width)
        assert_close(statistics(model, width), exact_statistics(plain_lenet(model), batches))
    if options.get("norm") == "switchable":
        expected = [[w] for w in VECTOR.values()] if isinstance(widths, dict) else [sorted(widths)] * 3
        assert [norm.width_mults for _, norm in model.norms()] == expected


@pytest.mark.parametrize(
    ("options", "widths"), [(S_NET, [0.5]), (S_NET, [1.0, 0.1 + 0.15]), ({**S_NET, "switches": VECTOR}, VECTOR)]
)
def test_statistics_of_an_s_net_are_renewed(options, widths, batches):
    model = small_lenet(**options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recalibrate_bn(model, batches, widths)
    for width in [widths] if isinstance(widths, dict) else widths:
        set_width(model, width)
        assert_close(statistics(model, width), exact_statistics(plain_lenet(model), batches))
    renewed = [name for name, value in model.state_dict().items() if not torch.equal(before[name], value)]
    assert len(renewed) == 3 * 3 * (1 if isinstance(widths, dict) else len(widths))  # neither weights nor other widths
    assert all("running" in name or "num_batches" in name for name in renewed)


def test_networks_without_norms_have_nothing_to_compute(batches):
    model = small_lenet(**SHARED)
    model.norm1 = model.norm2 = model.norm3 = nn.Identity()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recalibrate_bn(model, batches, [0.5, 1.0])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("options", [SHARED, S_NET])
def test_networks_whose_norms_were_replaced_are_refused(options, batches):
    model = nn.SyncBatchNorm.convert_sync_batchnorm(small_lenet(**options))
    with pytest.raises(TypeError, match=r"norm1(\.norms\.0)? was replaced by SyncBatchNorm, which knows no widths"):
        recalibrate_bn(model, batches, [0.5])


@pytest.mark.parametrize("options", [SHARED, SWITCHABLE])
@pytest.mark.parametrize("momentum", [0.1, 0.4])
def test_moving_statistics_follow_the_rule_of_plain_batch_norm(options, momentum, batches):
    model = small_lenet(**options)
    recalibrate_bn(model, batches, [0.55], averaging="moving", momentum=momentum)
    model.set_width_mult(0.55)
    network = plain_lenet(model).train()
    norms = [norm for norm in network if isinstance(norm, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = momentum
    with torch.no_grad():
        for images in batches:
            network(images)
    assert_close(statistics(model, 0.55), [(norm.running_mean, norm.running_var) for norm in norms])


@pytest.mark.parametrize("options", [SHARED, SWITCHABLE])
def test_passes_of_an_exact_average_do_not_wait_for_the_device(options, batches, monkeypatch):
    """Which batch it is, is known here: to read it from each norm would be a wait for each norm and batch."""
    monkeypatch.setattr(torch.Tensor, "__float__", lambda _: pytest.fail("a tensor was read"))
    recalibrate_bn(small_lenet(**options), batches, [0.5])


@pytest.mark.parametrize("averaging", ["exact", "moving"])
@pytest.mark.parametrize("options", [SHARED, SWITCHABLE])
def test_nothing_but_the_statistics_changes(options, averaging, batches):
    model = small_lenet(**options)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    momenta = [norm.statistics.momentum for _, norm in model.norms()]
    for training in (True, False):
        recalibrate_bn(model.train(training), batches, [0.5], averaging=averaging)
        assert all(module.training is training for module in model.modules())
    assert [norm.statistics.momentum for _, norm in model.norms()] == momenta == [0.1] * 3
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], parameter) for name, parameter in after.items())
    assert all(parameter.grad is None for parameter in after.values())


def test_exact_statistics_do_not_depend_on_the_order_of_batches_or_on_what_was_there(batches):
    results = []
    for order, seed in (([0, 1, 2], 0), ([2, 0, 1], 1)):
        model = small_lenet(**SWITCHABLE)
        torch.manual_seed(seed)
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.running_mean.normal_()
        recalibrate_bn(model, [batches[i] for i in order], [0.5, 1.0])
        results.append([statistics(model, width) for width in (0.5, 1.0)])
    for first, second in zip(*results, strict=True):
        assert_close(first, second, rtol=1e-12, atol=1e-12)


def test_moving_statistics_depend_on_the_order_of_batches(batches):
    results = []
    for images in (batches, batches[::-1]):
        model = small_lenet(**SHARED)
        recalibrate_bn(model, images, [1.0], averaging="moving")
        results.append(statistics(model, 1.0)[0][0])
    assert (results[0] - results[1]).abs().max() > 0.01


def test_wrong_requests_are_refused(batches):
    model = small_lenet(**SHARED)
    for images, widths in (([], [0.5]), (batches, []), (batches, {})):
        with pytest.raises(ValueError, match=r"at least one width and one batch|a width vector names"):
            recalibrate_bn(model, images, widths)
    with pytest.raises(ValueError, match=r"unknown averaging 'mean' \(allowed: exact, moving\)"):
        recalibrate_bn(small_lenet(), batches, [1.0], averaging="mean")
    with pytest.raises(ValueError, match="statistics for one width at a time, found 2 widths"):
        recalibrate_bn(model, batches, [0.5, 1.0])
    with pytest.raises(ValueError, match=r"width_mult must be in \[0\.25, 1\], found 0\.1"):
        recalibrate_bn(model, batches, [0.1])
    with pytest.raises(ValueError, match="a width vector names conv1, conv2, conv3, found conv1"):
        recalibrate_bn(model, batches, {"conv1": 0.5})
    for widths in ([0.6], [1.0, 0.3], VECTOR):
        with pytest.raises(
            ValueError, match=r"private to each width: only .* of trained widths .*\(\[0.25, 0.5, 0.75, 1.0\]\)"
        ):
            recalibrate_bn(small_lenet(**S_NET), batches, widths)
    for widths in ([0.4], {**VECTOR, "conv1": 0.5}, {"conv1": 0.4}):
        with pytest.raises(ValueError, match=r"private .*'conv1': \[0.4\], 'conv2': \[1.0\], 'conv3': \[0.5\]"):
            recalibrate_bn(small_lenet(**S_NET, switches=VECTOR), batches, widths)


def test_refused_widths_leave_the_statistics(batches):
    model = small_lenet(**SWITCHABLE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for widths in ([1.0, 0.1], [0.5, 0.5], [], {"conv1": 0.5}):
        with pytest.raises(ValueError, match="width"):
            recalibrate_bn(model, batches, widths)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_batches_without_images_are_refused():
    with pytest.raises(ValueError, match="image"):
        recalibrate_bn(small_lenet(**SWITCHABLE), [torch.zeros(0, 1, 16, 16)], [1.0])


@pytest.mark.parametrize(("kind", "options"), [(SharedBatchNorm2d, SHARED), (SwitchableBatchNorm2d, SWITCHABLE)])
def test_statistics_that_did_not_change_are_refused(kind, options, batches, monkeypatch):
    monkeypatch.setattr(kind, "forward", lambda self, x: x)  # a norm that never updates
    with pytest.raises(RecalibrationError, match=r"statistics of norm1 at width 0\.5 did not change"):
        recalibrate_bn(small_lenet(**options), batches, [0.5])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_statistics_that_are_not_finite_are_refused(value, batches):
    batches[1][0, 0, 3, 3] = value
    with pytest.raises(RecalibrationError, match=r"statistics of norm1 at width 0\.5 are not finite"):
        recalibrate_bn(small_lenet(**SWITCHABLE), batches, [0.5])


def test_a_float32_model_is_recalibrated_in_float32(batches):
    """Whatever the default dtype, here float64, the statistics have the dtype of the model."""
    model = small_lenet(**SWITCHABLE).float()
    recalibrate_bn(model, [images.float() for images in batches], [0.5, 1.0])
    assert {p.dtype for p in model.state_dict().values() if p.is_floating_point()} == {torch.float32}


def digits(num_images, seed):
    """Images of four classes: a pattern each, with noise."""
    patterns = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (num_images,), generator=generator)
    return patterns[labels] + torch.randn(num_images, 1, 16, 16, generator=generator), labels


def test_a_calibrated_model_beats_the_one_with_mixed_statistics():
    """Any-Width Networks, table 1: one set of statistics of all widths fits none of a sliced network's."""
    channels = {"conv1": 16, "conv2": 16, "conv3": 16}
    model = small_lenet(layer="sliced", num_classes=4, channels=channels)
    nn.init.normal_(model.classifier.weight, 0, 0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(40):
        optimizer.zero_grad()
        backward_widths(model, *digits(64, seed=step), [1.0, 0.6, 0.25])
        optimizer.step()
    images, labels = digits(400, seed=1000)

    @torch.no_grad()
    def loss_and_accuracy():
        model.eval().set_width_mult(0.4)
        logits = model(images)
        return float(F.cross_entropy(logits, labels)), float((logits.argmax(dim=1) == labels).double().mean())

    loss_before, accuracy_before = loss_and_accuracy()
    recalibrate_bn(model, [digits(64, seed=seed)[0] for seed in range(8)], [0.4])
    loss, accuracy = loss_and_accuracy()
    assert accuracy > max(0.9, accuracy_before + 0.05)
    assert loss < 0.5 * loss_before
