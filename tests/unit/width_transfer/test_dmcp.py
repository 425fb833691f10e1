"""DMCP's chains, budget loss and gates by hand and against slow versions."""

import math

import pytest
import torch
from torch.nn import functional as F

from awnlib.data import ImageData
from awnlib.models import ModelSpec
from awnlib.seeding import rng
from awnlib.width_transfer.dmcp import DMCP, Chain, budget_loss
from awnlib.width_transfer.optimizer import Problem
from awnlib.width_transfer.options import DMCPSettings, parse_settings
from awnlib.width_transfer.search import search as run_search

LENET = ModelSpec(name="lenet_3c1l", input_shape=(1, 16, 16), num_classes=10, base_width_mult=0.5)
CPU = torch.device("cpu")


def search(shapes, budget=None, spec=LENET, **settings):
    return DMCP(Problem(shapes, spec, budget), DMCPSettings(**settings), 0, CPU)


def chain(logits, full=10, size=2, smallest=2):
    result = Chain(full, smallest, size, len(logits))
    with torch.no_grad():
        result.alpha.copy_(torch.tensor(logits))
    return result


def test_expected_channels_by_hand():
    """Keep probabilities 1/2, 3/4, 1/4: P = 1/2, 3/8, 3/32; 4 always kept, groups of 2."""
    one = chain([0.0, math.log(3), -math.log(3)])
    assert one.always == 4
    assert one.keep().tolist() == pytest.approx([1 / 2, 3 / 8, 3 / 32])
    assert one.expected().item() == pytest.approx(4 + 2 * (1 / 2 + 3 / 8 + 3 / 32))
    assert one.gates().tolist() == pytest.approx([1] * 4 + [1 / 2] * 2 + [3 / 8] * 2 + [3 / 32] * 2)
    assert one.gates().sum().item() == pytest.approx(one.expected().item())


def test_sampled_counts_have_the_expected_mean():
    one, generator = chain([0.5, 1.0, -0.5]), rng(0, "test")
    drawn = [one.sample(generator) for _ in range(4000)]
    assert set(drawn) == {4, 6, 8, 10}
    assert sum(drawn) / len(drawn) == pytest.approx(one.expected().item(), abs=0.1)
    assert {one.uniform(generator) for _ in range(100)} == {4, 6, 8, 10}


@pytest.mark.parametrize(
    ("full", "always", "size", "groups"),
    [(96, 12, 6, 14), (1920, 128, 128, 14), (24, 10, 1, 14), (12, 1, 1, 11), (2, 1, 1, 1), (1, 1, 1, 0)],
)
def test_groups(shapes, full, always, size, groups):
    """The settings of the authors for 1.5 times the channels; narrow dimensions have fewer groups, of one channel."""
    counts = {"conv1": 8, "conv2": 8, "conv3": max(round(full / 1.5), 1)}
    spec = LENET.model_copy(update={"channels": counts})
    one = search(shapes, spec=spec).chains["conv3"]
    expected = (always, size, groups) if full > 2 else (1, 1, one.groups)
    assert (one.always, one.size, one.groups) == expected
    assert one.expected().item() >= one.always


def test_expected_macs_are_the_sum_over_layers(shapes):
    optimizer = search(shapes)
    with torch.no_grad():
        for index, one in enumerate(optimizer.chains.values()):
            one.alpha.fill_(index - 0.5)
    c1, c2, c3 = (one.expected().item() for one in optimizer.chains.values())
    expected = 196 * 9 * c1 + 144 * 9 * c1 * c2 + 4 * 25 * c2 * c3 + c3 * 10
    assert optimizer.expected_macs().item() == pytest.approx(expected)


def test_gradient_of_depthwise_macs_is_the_true_one(shapes):
    spec = ModelSpec(name="mobilenet_v2", input_shape=(1, 16, 16), num_classes=10, slim_last=True, base_width_mult=0.25)
    optimizer = search(shapes, spec=spec)
    one = optimizer.chains["expand3"]
    (gradient,) = torch.autograd.grad(optimizer.expected_macs(), [one.alpha])
    step = 0.05
    with torch.no_grad():
        one.alpha[0] += step
        above = optimizer.expected_macs().double()
        one.alpha[0] -= 2 * step
        below = optimizer.expected_macs().double()
    assert gradient[0].item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-2)


@pytest.mark.parametrize(
    ("ratio", "loss", "slope"),
    [
        (0.5, math.log(0.5), -2.0),
        (0.94, math.log(0.06), -1 / 0.06),
        (0.96, 0.0, 0.0),
        (0.999, 0.0, 0.0),
        (1.0, math.log(0.05), 1 / 0.05),
        (1.95, 0.0, 1.0),
    ],
)
def test_budget_loss_by_hand(ratio, loss, slope):
    x = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
    value = budget_loss(x)
    assert value.item() == pytest.approx(loss, abs=1e-9)
    value.backward()
    assert x.grad.item() == pytest.approx(slope)


def test_gates_equal_a_slow_version_channel_by_channel(shapes):
    optimizer = search(shapes, budget_weight=0.3)
    with torch.no_grad():
        for index, one in enumerate(optimizer.chains.values()):
            one.alpha.copy_(torch.linspace(2, -1, one.groups) + index)
    model = optimizer.model
    images, labels = shapes.train_images[:20].float() / 255, shapes.train_labels[:20]
    alphas = [one.alpha for one in optimizer.chains.values()]
    loss = optimizer.architecture_loss(images, labels)
    found = torch.autograd.grad(loss, alphas)

    x = images
    for layer, pool in (("1", 1), ("2", 2), ("3", 2)):
        one = optimizer.chains[f"conv{layer}"]
        x = getattr(model, f"conv{layer}")(x)
        x = F.batch_norm(x, None, None, training=True)
        planes = []
        for channel in range(x.shape[1]):
            kept = 1.0
            for group in range(one.groups):
                if channel >= one.always + group * one.size:
                    kept = kept * one.alpha[group].sigmoid()
            planes.append(x[:, channel] * kept)
        x = F.max_pool2d(torch.stack(planes, dim=1).relu(), pool)
    task = F.cross_entropy(model.classifier(x.flatten(1)), labels)
    ratio = optimizer.expected_macs() / optimizer.problem.budget
    slow = task + 0.3 * (torch.log(1 - ratio) if ratio < 0.95 else torch.log(ratio - 0.95))
    torch.testing.assert_close(loss, slow)
    torch.testing.assert_close(list(found), list(torch.autograd.grad(slow, alphas)), rtol=1e-3, atol=1e-6)


def test_gates_are_off_outside_the_architecture_step(shapes):
    optimizer = search(shapes)
    images, labels = shapes.train_images[:20].float() / 255, shapes.train_labels[:20]
    before = optimizer.model(images)
    optimizer.architecture_loss(images, labels)
    torch.testing.assert_close(optimizer.model(images), before)


def test_architecture_steps_start_in_the_second_part_and_move_chains_only(shapes):
    optimizer = search(shapes)
    images, labels = shapes.train_images[:20].float() / 255, shapes.train_labels[:20]
    weights = [parameter.clone() for parameter in optimizer.model.parameters()]
    optimizer.after_step([(images, labels)], 0.49)
    assert not any(one.alpha.any() for one in optimizer.chains.values())
    assert optimizer.ledger.total == 0
    optimizer.after_step([(images, labels)], 0.5)
    assert all(one.alpha.all() for one in optimizer.chains.values())
    assert optimizer.optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.ledger.total == 2 * 20 * optimizer.problem.macs(optimizer.full)
    optimizer.after_step([(images, labels)], 1.0)
    assert optimizer.optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    assert all(parameter.grad is None for parameter in optimizer.model.parameters())
    torch.testing.assert_close(weights, list(optimizer.model.parameters()))


def test_a_batch_in_parts_moves_the_chains_by_the_mean_of_their_gradients(shapes):
    optimizer, other = search(shapes), search(shapes)
    images, labels = shapes.train_images[:20].float() / 255, shapes.train_labels[:20]
    parts = [(images[:10], labels[:10]), (images[10:], labels[10:])]
    alphas = [chain.alpha for chain in other.chains.values()]
    first, second = (torch.autograd.grad(other.architecture_loss(*part), alphas) for part in parts)
    optimizer.after_step(parts, 0.5)
    for chain, one, two in zip(optimizer.chains.values(), first, second, strict=True):
        assert not torch.equal(one, two)
        torch.testing.assert_close(chain.alpha.grad, (one + two) / 2)
    other.after_step([(images, labels)], 0.5)
    assert optimizer.ledger.entries == other.ledger.entries


def test_random_networks_come_from_the_chains_more_and_more_often(shapes):
    optimizer = search(shapes, uniform_end=0.1)
    with torch.no_grad():
        for one in optimizer.chains.values():
            one.alpha.fill_(-20.0)  # from the chains always the smallest network

    def share_of_smallest(progress):
        drawn = [optimizer._random_counts(progress, rng(0, "test", index)) for index in range(400)]
        return sum(counts == optimizer.smallest for counts in drawn) / len(drawn)

    assert [share_of_smallest(progress) for progress in (0.2, 0.5, 0.75, 1.0)] == pytest.approx(
        [0, 0, 1 - 0.1**0.5, 0.9], abs=0.06
    )


@pytest.mark.parametrize("sampling", ["expected", "sampled"])
def test_final_counts_cost_the_budget(shapes, sampling):
    optimizer = search(shapes, sampling=sampling)
    with torch.no_grad():
        for one in optimizer.chains.values():
            one.alpha.fill_(3.0)
    multipliers = optimizer.multipliers()
    problem = optimizer.problem
    if sampling == "expected":
        assert multipliers["conv1"] == pytest.approx(optimizer.chains["conv1"].expected().item() / 16)
    else:
        assert abs(problem.macs(problem.counts(multipliers)) / problem.budget - 1) <= 0.01
    assert 0.99 <= problem.macs(problem.counts(optimizer.at_budget(multipliers))) / problem.budget <= 1


def test_sampling_gives_up_after_some_tries(shapes):
    optimizer = search(shapes, sampling="sampled", most_tries=20)
    with torch.no_grad():
        for one in optimizer.chains.values():
            one.alpha.fill_(-20.0)
    with pytest.raises(ValueError, match=r"none of 20 sampled networks costs .* MACs within 1%: the chains expect"):
        optimizer.multipliers()


def blind(shapes, data=None, checkpoint=None, **settings):
    """A null control of ten steps on some images, as a finished search."""
    options = {"task_weight": 0.0, "num_epochs": 2, "batch_size": 20, "architecture_lr": 2.0, **settings}
    data = data or shapes
    return run_search(data, LENET, parse_settings("dmcp", options), checkpoint=checkpoint, checkpoint_every_s=0)


def test_the_null_control_sees_no_image_trains_no_weight_and_costs_nothing(shapes):
    """Other images, and a network that begins elsewhere, give the same widths; a search with images does not."""
    found = blind(shapes)
    others = ImageData(**{**vars(shapes), "train_images": 255 - shapes.train_images})
    assert blind(shapes, others).rows == found.rows
    assert found.ledger.total == 0
    seeing = blind(shapes, task_weight=1.0)
    assert seeing.rows != found.rows
    assert seeing.ledger.total > 0
    one = search(shapes, task_weight=0.0, weights_only=0.0)
    before = [parameter.clone() for parameter in one.model.parameters()]
    images, labels = torch.rand(4, 1, 16, 16), torch.arange(4)
    assert one.backward(images, labels, step=0, progress=0.9) == 0
    one.after_step([(images, labels)], progress=0.5)
    assert all(torch.equal(*pair) for pair in zip(before, one.model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in one.model.parameters())


def test_the_null_control_moves_along_the_gradient_of_the_expected_macs_alone(shapes):
    """Below the budget each logit rises by what expected MACs gain from it: d log(1 - r) = -dr / (1 - r)."""
    one = search(shapes, task_weight=0.0, weights_only=0.0, architecture_lr=0.01, budget_weight=0.3)
    macs = one.expected_macs()
    gradient = torch.autograd.grad(macs, one.chains["conv2"].alpha)[0] / one.problem.budget
    ratio = macs.item() / one.problem.budget
    assert ratio < 0.9
    one.after_step([(torch.rand(4, 1, 16, 16), torch.arange(4))], progress=0.0)
    step = 0.01 * 0.3 * gradient / (1 - ratio) * 1.9  # the first step of Nesterov's momentum
    torch.testing.assert_close(one.chains["conv2"].alpha.detach(), step)


def test_a_null_control_goes_on_from_its_checkpoint(shapes, tmp_path):
    found = blind(shapes, checkpoint=tmp_path / "point.safetensors")
    again = blind(shapes, checkpoint=tmp_path / "point.safetensors")
    assert again.rows == found.rows
    assert again.vector.multipliers == found.vector.multipliers


def test_the_null_control_reaches_the_budget(shapes):
    found = blind(shapes, num_epochs=40)
    (before,), budget = found.vector.provenance["macs_before_matching"], found.vector.provenance["budget_macs"]
    assert 0.95 <= before / budget <= 1.02


def test_a_smaller_weight_of_the_task_moves_chains_less_by_it(shapes):
    one = search(shapes, weights_only=0.0, task_weight=0.25, budget_weight=0.0)
    images, labels = torch.rand(8, 1, 16, 16, generator=rng(0, "x")), torch.arange(8)
    quarter = one.architecture_loss(images, labels)
    one.settings = one.settings.model_copy(update={"task_weight": 1.0})
    torch.testing.assert_close(4 * quarter, one.architecture_loss(images, labels))
