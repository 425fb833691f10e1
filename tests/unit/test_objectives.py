"""Which widths a step trains, and the gradients of the sum of their losses."""

import copy

import pytest
import torch

from awnlib.tasks.classification import backward_widths, inplace_distillation
from awnlib.training.methods import Method
from awnlib.training.objectives import fixed_widths, sample_widths
from tests.reference import float64, losses_of_widths, small_lenet

WIDTHS = [1.0, 0.75, 0.5, 0.25]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def method(**changes):
    return Method(**{"label": "", "layer": "sliced", "norm": "shared", **changes})


def draws(row, widths=WIDTHS, seed=0, steps=1):
    generator = torch.Generator().manual_seed(seed)
    return [sample_widths(row, widths, generator) for _ in range(steps)]


@pytest.mark.parametrize(
    ("changes", "widths", "expected"),
    [
        ({}, WIDTHS, WIDTHS),
        ({}, [1.0, 0.9, 0.3], [1.0, 0.9, 0.3]),
        ({"num_widths": 3}, [1.0, 0.9, 0.3], [1.0, 0.9, 0.3]),  # the study's own, not evenly spaced ones
        ({"num_widths": 1}, WIDTHS, [1.0]),
        ({"num_widths": 2}, WIDTHS, [1.0, 0.25]),
        ({"num_widths": 3}, WIDTHS, [1.0, 0.625, 0.25]),
        ({"num_widths": 7}, WIDTHS, [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25]),
        ({"widths": "sandwich"}, WIDTHS, [1.0, 0.25]),
        ({"widths": "random"}, WIDTHS, []),
        ({"widths": "min_random"}, WIDTHS, [0.25]),
        ({"widths": "max_random"}, WIDTHS, [1.0]),
    ],
)
def test_fixed_widths(changes, widths, expected):
    assert fixed_widths(method(**changes), widths) == pytest.approx(expected, abs=1e-15)


def test_fixed_methods_train_the_same_widths_in_every_step():
    assert draws(method(), steps=3) == [WIDTHS] * 3
    assert draws(method(num_widths=3), steps=2) == [[1.0, 0.625, 0.25]] * 2


@pytest.mark.parametrize(("num_widths", "expected"), [(None, 4), (2, 2), (3, 3), (6, 6)])
def test_sandwich_has_both_ends_and_random_widths_between(num_widths, expected):
    steps = draws(method(widths="sandwich", num_widths=num_widths), steps=400)
    assert all(step[:2] == [1.0, 0.25] and len(step) == expected for step in steps)
    drawn = [width for step in steps for width in step[2:]]
    assert all(0.25 <= width <= 1 for width in drawn)
    assert len(set(drawn)) == len(drawn) == 400 * (expected - 2)
    if drawn:  # uniform: mean 0.625, deviation 0.75 / sqrt(12 n)
        assert sum(drawn) / len(drawn) == pytest.approx(0.625, abs=4 * 0.2165 / len(drawn) ** 0.5)
        assert min(drawn) < 0.27
        assert max(drawn) > 0.98


@pytest.mark.parametrize(("rule", "end"), [("min_random", 0.4), ("max_random", 0.9)])
def test_one_end_and_random_widths(rule, end):
    """US-Nets, table 2: n - 1 random ones and an end, which comes first, so that the largest can teach."""
    steps = draws(method(widths=rule, num_widths=3), widths=[0.9, 0.6, 0.4], steps=300)
    assert all(step[0] == end and len(step) == 3 for step in steps)
    drawn = [width for step in steps for width in step[1:]]
    assert len(set(drawn)) == 600
    assert 0.4 < min(drawn) < 0.41
    assert 0.89 < max(drawn) < 0.9
    assert len(draws(method(widths=rule))[0]) == 4  # as many as the study has


def test_one_random_width_a_step():
    assert {len(step) for step in draws(method(widths="random", num_widths=1), steps=9)} == {1}


def test_random_widths_fill_the_range():
    steps = draws(method(widths="random", num_widths=3), widths=[0.9, 0.4], steps=300)
    drawn = [width for step in steps for width in step]
    assert len(drawn) == len(set(drawn)) == 900
    assert 0.4 <= min(drawn) < 0.41
    assert 0.89 < max(drawn) <= 0.9
    assert len(draws(method(widths="random"))[0]) == 4


def test_widths_per_layer_are_drawn_one_by_one():
    """US-Nets, section 6: the ends are those of the whole network, every draw is a width vector."""
    row = method(widths="sandwich", widths_per_layer=True, norm="recalibrated", recalibration=[2])
    generator = torch.Generator().manual_seed(0)
    steps = [sample_widths(row, [0.9, 0.6, 0.5, 0.4], generator, dimensions=["a", "b"]) for _ in range(300)]
    assert all(step[:2] == [0.9, 0.4] and len(step) == 4 for step in steps)
    drawn = torch.tensor([[vector["a"], vector["b"]] for step in steps for vector in step[2:]])
    assert len(drawn.unique()) == drawn.numel() == 1200
    assert 0.4 <= drawn.min() < 0.41
    assert 0.89 < drawn.max() <= 0.9
    assert drawn.mean(0).tolist() == pytest.approx([0.65, 0.65], abs=4 * 0.1443 / 600**0.5)
    assert drawn.T.corrcoef()[0, 1].abs() < 4 / 600**0.5  # independent


@pytest.mark.parametrize(
    "changes",
    [{"widths": "fixed"}, {"layer": "triangular"}, {"norm": "switchable", "recalibration": []}],
    ids=["nothing drawn", "triangular", "statistics of fixed widths"],
)
def test_widths_per_layer_need_a_us_net(changes):
    us_net = {"widths": "sandwich", "widths_per_layer": True, "norm": "recalibrated", "recalibration": [2]}
    with pytest.raises(ValueError, match="widths_per_layer needs random widths, sliced layers and norm 'recalibrated'"):
        method(**us_net | changes)


def test_random_widths_follow_the_seed():
    row = method(widths="sandwich")
    assert draws(row, seed=3, steps=5) == draws(row, seed=3, steps=5)
    assert draws(row, seed=3) != draws(row, seed=4)


@pytest.mark.parametrize("distillation", [False, True])
def test_smoothing_applies_to_labels_and_not_to_a_teacher(distillation):
    model = small_lenet()
    images, labels = torch.randn(6, *model.spec.input_shape), torch.arange(6) % model.spec.num_classes
    settings = {"distillation": distillation}
    hard, _ = backward_widths(copy.deepcopy(model), images, labels, WIDTHS, **settings)
    smooth, _ = backward_widths(copy.deepcopy(model), images, labels, WIDTHS, **settings, label_smoothing=0.3)
    logits = []
    for width in WIDTHS:
        model.set_width_mult(width)
        logits.append(model.train()(images))
    num_classes = model.spec.num_classes
    targets = 0.7 * torch.eye(num_classes)[labels] + 0.3 / num_classes
    by_hand = torch.stack([-(targets * values.log_softmax(1)).sum(1).mean() for values in logits])
    torch.testing.assert_close(smooth, torch.cat([by_hand[:1], hard[1:]]) if distillation else by_hand.detach())


def test_distillation_is_the_cross_entropy_of_two_distributions():
    logits = torch.randn(5, 4, requires_grad=True)
    teacher = torch.randn(5, 4, requires_grad=True)
    loss = inplace_distillation(logits, teacher)
    p = teacher.exp() / teacher.exp().sum(dim=1, keepdim=True)
    q = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    expected = sum(-p[n, c] * q[n, c].log() for n in range(5) for c in range(4)) / 5
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert teacher.grad is None
    torch.testing.assert_close(logits.grad, (q - p).detach() / 5)


OPTIONS = [
    {},
    {"layer": "sliced"},
    {"layer": "sliced", "norm": "switchable"},
    {"layer": "sliced", "norm": "switchable", "affine": "shared"},
]


@pytest.mark.parametrize("distillation", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_those_of_the_explicit_sum(options, distillation):
    model = small_lenet(**options)
    slow = copy.deepcopy(model)
    images, labels = torch.randn(8, 1, 16, 16), torch.arange(8) % 3
    widths = [1.0, 0.25, 0.7, 0.45]
    losses, corrects = backward_widths(model, images, labels, widths, distillation=distillation)
    expected = losses_of_widths(copy.deepcopy(model), images, labels, widths, distillation=distillation)
    torch.stack(losses_of_widths(slow, images, labels, widths, distillation=distillation)).sum().backward()
    torch.testing.assert_close(losses, torch.stack(expected).detach())
    assert not losses.requires_grad
    for (name, own), other in zip(model.named_parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-9, atol=1e-10, msg=name)
    for own, other in zip(model.buffers(), slow.buffers(), strict=True):
        torch.testing.assert_close(own, other)
    with torch.no_grad():
        for width_mult, correct in zip(widths, corrects, strict=True):
            slow.set_width_mult(width_mult)
            assert correct == (slow(images).argmax(dim=1) == labels).sum()
    assert model.channels["conv1"].width_mult == 0.45


def test_gradients_add_to_those_that_are_there():
    model = small_lenet()
    images, labels = torch.randn(8, 1, 16, 16), torch.arange(8) % 3
    backward_widths(model, images, labels, [1.0])
    once = model.conv1.weight.grad.clone()
    backward_widths(model, images, labels, [1.0])
    torch.testing.assert_close(model.conv1.weight.grad, 2 * once)


def test_the_first_width_is_the_teacher_and_learns_from_the_labels():
    model = small_lenet(layer="sliced")
    images, labels = torch.randn(8, 1, 16, 16), torch.arange(8) % 3
    of_labels, _ = backward_widths(model, images, labels, [1.0, 0.5])
    distilled, _ = backward_widths(model, images, labels, [1.0, 0.5], distillation=True)
    swapped, _ = backward_widths(model, images, labels, [0.5, 1.0], distillation=True)
    assert distilled[0] == of_labels[0]
    assert distilled[1] != of_labels[1]
    assert swapped[0] == of_labels[1]


def test_another_forward_is_called_in_place_of_the_model():
    model = small_lenet()
    calls = []

    def forward(images):
        calls.append(model.channels["conv1"].width_mult)
        return model(images)

    backward_widths(model, torch.randn(4, 1, 16, 16), torch.zeros(4).long(), [1.0, 0.5], forward=forward)
    assert calls == [1.0, 0.5]
