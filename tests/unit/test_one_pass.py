"""One pass for all widths against one pass for each (`awnlib.tasks.classification.backward_widths`, slow)."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

from awnlib import one_pass
from awnlib.evaluation.sweep import sweep_widths
from awnlib.models import create_model
from awnlib.one_pass import is_any_width
from awnlib.tasks import Distillation
from awnlib.tasks.classification import backward_one_pass, backward_widths, width_losses
from awnlib.training.methods import load_methods
from awnlib.training.objectives import loss_weights, sample_widths

WIDTHS = [1.0, 0.75, 0.5, 0.25]
DRAWS = {
    "fixed": WIDTHS,
    "sandwich": [1.0, 0.25, 0.61, 0.4],
    "the same count twice": [1.0, 0.25, 0.5, 0.501],
    "without the full width": [0.8, 0.3],
    "one": [0.5],
    "every width": [k / 12 for k in range(12, 2, -1)],
}


def small_lenet(**options):
    torch.manual_seed(0)
    counts = {"conv1": 7, "conv2": 12, "conv3": 9}
    model = create_model("lenet_3c1l", input_shape=(1, 18, 18), num_classes=4, channels=counts, **options)
    return model.double().train()


def batch(step=0, size=6):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(size, 1, 18, 18, dtype=torch.float64, generator=generator)
    return images, torch.randint(0, 4, (size,), generator=generator)


def gradient(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def buffers(model):
    return torch.cat([buffer.flatten().double() for buffer in model.buffers()])


OBJECTIVES = {
    "labels": False,
    "distillation": True,
    "both": Distillation(label_share=0.3),
    "alpha-divergence": Distillation("alpha_divergence"),
    "labels and alpha-divergence": Distillation("alpha_divergence", torch.tensor(0.3)),
}


@pytest.mark.parametrize("distillation", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("dense_base", [False, True], ids=["strict", "dense base"])
@pytest.mark.parametrize("widths", DRAWS.values(), ids=DRAWS)
def test_losses_gradients_and_statistics_are_those_of_separate_passes(widths, dense_base, distillation):
    slow = small_lenet(dense_base=dense_base)
    fast = copy.deepcopy(slow)
    images, labels = batch()
    losses, corrects = backward_widths(slow, images, labels, widths, distillation=distillation)
    fast_losses, fast_corrects = backward_one_pass(fast, images, labels, widths, distillation=distillation)
    torch.testing.assert_close(fast_losses, losses, rtol=1e-12, atol=0)
    assert torch.equal(fast_corrects, corrects)
    assert (gradient(fast) - gradient(slow)).norm() <= 1e-12 * gradient(slow).norm()
    torch.testing.assert_close(buffers(fast), buffers(slow), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("distillation", [False, True], ids=["labels", "distillation"])
def test_smoothed_labels_are_those_of_separate_passes(distillation):
    slow = small_lenet()
    fast = copy.deepcopy(slow)
    settings = {"distillation": distillation, "label_smoothing": 0.1}
    losses, _ = backward_widths(slow, *batch(), WIDTHS, **settings)
    fast_losses, _ = backward_one_pass(fast, *batch(), WIDTHS, **settings)
    torch.testing.assert_close(fast_losses, losses, rtol=1e-12, atol=0)
    assert (gradient(fast) - gradient(slow)).norm() <= 1e-12 * gradient(slow).norm()


@pytest.mark.parametrize("distillation", [False, True], ids=["labels", "distillation"])
@pytest.mark.parametrize("name", ["awn", "awn_rs", "awn_3w", "awn_all"])
def test_thirty_steps_end_at_the_same_weights(name, distillation):
    method = load_methods()[name]
    slow = small_lenet()
    fast = copy.deepcopy(slow)
    every = slow.distinct_width_mults(include=WIDTHS)
    for model, backward in ((slow, backward_widths), (fast, backward_one_pass)):
        lr = 0.2 / len(sample_widths(method, WIDTHS, torch.Generator(), every))  # losses add up
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
        for step in range(30):
            optimizer.zero_grad()
            widths = sample_widths(method, WIDTHS, torch.Generator().manual_seed(step), every)
            backward(model, *batch(step), widths, distillation=distillation)
            optimizer.step()
    for (key, value), other in zip(slow.state_dict().items(), fast.state_dict().values(), strict=True):
        assert (value - other).double().norm() <= 1e-11 * value.double().norm(), key


def test_float32_agrees_to_rounding():
    slow = small_lenet().float()
    fast = copy.deepcopy(slow)
    images, labels = batch(size=32)
    backward_widths(slow, images.float(), labels, WIDTHS)
    backward_one_pass(fast, images.float(), labels, WIDTHS)
    assert (gradient(fast) - gradient(slow)).norm() <= 1e-4 * gradient(slow).norm()


def test_a_width_that_keeps_no_more_channels_than_another_counts_twice():
    model = small_lenet()
    before = model.norm3.running_mean.clone()
    images, labels = batch()
    backward_one_pass(model, images, labels, [1.0, 0.5, 0.501])
    mean = model.norm3.running_mean
    once, thrice = 0.1, 1 - 0.9**3
    reference = small_lenet()
    reference.norm3.momentum = 1.0
    reference(images)
    expected = reference.norm3.running_mean
    kept = model.channels["conv3"].count(0.5)
    torch.testing.assert_close(mean[:kept], before[:kept] + thrice * (expected - before)[:kept])
    torch.testing.assert_close(mean[kept:], before[kept:] + once * (expected - before)[kept:])


def test_an_unknown_rule_of_updates_is_refused():
    with pytest.raises(ValueError, match=r"unknown updates 'every' \(allowed: each, once\)"):
        backward_one_pass(small_lenet(), *batch(), WIDTHS, updates="every")


def test_networks_whose_features_depend_on_the_width_are_refused():
    for options in ({"layer": "sliced"}, {"norm": "switchable"}):
        model = small_lenet(**options)
        assert not is_any_width(model)
        with pytest.raises(ValueError, match="needs triangular layers"):
            backward_one_pass(model, *batch(), WIDTHS)


def test_outputs_of_prefixes_are_those_of_each_width():
    model = small_lenet().eval()
    images, _ = batch()
    widths = [0.4, 1.0, 0.25, 0.4]
    features = model.features(images)
    counts = torch.tensor([model.channels["conv3"].count(width) for width in widths])
    logits = model.head.prefix_outputs(features, counts)
    for width, found in zip(widths, logits, strict=True):
        model.set_width_mult(width)
        torch.testing.assert_close(found, model(images), rtol=1e-12, atol=1e-12)


def test_the_sweep_in_one_pass_equals_the_sweep_width_by_width(monkeypatch):
    model = small_lenet()
    batches = [batch(step) for step in range(3)]
    for images, labels in batches:
        backward_one_pass(model, images, labels, WIDTHS)
    fast = sweep_widths(model, batches, trained=WIDTHS)
    monkeypatch.setattr("awnlib.one_pass.is_any_width", lambda model: False)
    slow = sweep_widths(model, batches, trained=WIDTHS)
    assert len(fast) == len(slow) > 10
    for one, other in zip(fast, slow, strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), rel=1e-12)
        assert one == other


@pytest.mark.parametrize("most_padding", [0.0, 3.0], ids=["as they are", "padded to 16"])
def test_empty_channels_change_nothing(monkeypatch, most_padding):
    monkeypatch.setattr(one_pass, "MOST_PADDING", most_padding)
    monkeypatch.setattr(one_pass.torch, "is_autocast_enabled", lambda device: True)
    slow = small_lenet()
    fast = copy.deepcopy(slow)
    seen = []
    fast.conv2.register_forward_hook(lambda _, __, output: seen.append(output.shape[1]))
    losses, _ = backward_widths(slow, *batch(), WIDTHS)
    fast_losses, _ = backward_one_pass(fast, *batch(), WIDTHS)
    assert seen == [16 if most_padding else 12]
    torch.testing.assert_close(fast_losses, losses, rtol=1e-12, atol=0)
    assert (gradient(fast) - gradient(slow)).norm() <= 1e-12 * gradient(slow).norm()
    torch.testing.assert_close(buffers(fast), buffers(slow), rtol=1e-12, atol=1e-12)
    assert {name: value.shape for name, value in fast.state_dict().items()} == {
        name: value.shape for name, value in slow.state_dict().items()
    }
    assert fast(batch()[0]).shape == (6, 4)


def test_every_width_at_once_is_the_weighted_sum_of_its_losses():
    method = load_methods()["awn_all"]
    slow = small_lenet()
    fast = copy.deepcopy(slow)
    images, labels = batch()
    widths = sample_widths(method, WIDTHS, torch.Generator(), slow.distinct_width_mults())
    weights = loss_weights(method, WIDTHS, widths)
    assert widths == sorted(slow.distinct_width_mults(), reverse=True)
    total = 0
    for width, weight in zip(widths, weights, strict=True):
        slow.set_width_mult(width)
        total = total + weight * F.cross_entropy(slow(images), labels)
    total.backward()
    factors = torch.tensor(weights, dtype=torch.float64)
    losses, _ = backward_one_pass(fast, images, labels, widths, weights=factors, updates="once")
    assert sum(w * loss for w, loss in zip(weights, losses.tolist(), strict=True)) == pytest.approx(total.item())
    assert (gradient(fast) - gradient(slow)).norm() <= 1e-12 * gradient(slow).norm()
    once = small_lenet()
    once(images)
    torch.testing.assert_close(buffers(fast), buffers(once), rtol=1e-12, atol=1e-12)


def test_weights_of_all_widths_are_those_of_the_sandwich_rule_on_average():
    rows = load_methods({"even": {"base": "awn_all", "emphasis": "uniform"}})
    trained = [1.0, 0.8, 0.6, 0.4, 0.25]
    assert loss_weights(rows["awn_all"], WIDTHS, trained) == pytest.approx([1.4, 0.4, 0.4, 0.4, 1.4])
    assert loss_weights(rows["even"], WIDTHS, trained) == pytest.approx([0.8] * 5)
    assert loss_weights(rows["awn"], WIDTHS, WIDTHS) == [1.0] * 4


@pytest.mark.filterwarnings("default")  # the compiler's own
def test_any_draw_of_widths_is_one_graph():
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(width_losses, backend=counter, fullgraph=True, dynamic=False)
    model = small_lenet()
    for step in range(6):
        widths = sample_widths(load_methods()["awn_rs"], WIDTHS, torch.Generator().manual_seed(step))
        slow = copy.deepcopy(model)
        model.zero_grad()
        losses, _ = backward_one_pass(model, *batch(step), widths, forward=compiled)
        torch.testing.assert_close(losses, backward_widths(slow, *batch(step), widths)[0], rtol=1e-12, atol=0)
    assert counter.frame_count == 1


@pytest.mark.filterwarnings("default")  # the compiler's own
@pytest.mark.parametrize("distance", [None, "alpha_divergence"])
def test_any_share_of_the_labels_is_one_graph(distance):
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(width_losses, backend=counter, fullgraph=True, dynamic=False)
    model, share = small_lenet(), torch.zeros((), dtype=torch.float64)
    for step, value in enumerate((0.9, 0.5, 0.0)):
        share.fill_(value)
        slow = copy.deepcopy(model)
        model.zero_grad()
        losses, _ = backward_one_pass(
            model, *batch(step), WIDTHS, distillation=Distillation(distance, share), forward=compiled
        )
        expected, _ = backward_widths(slow, *batch(step), WIDTHS, distillation=Distillation(distance, value))
        torch.testing.assert_close(losses, expected, rtol=1e-12, atol=0)
    assert counter.frame_count == 1
