"""AlphaNet's distance between two outputs, against its definition."""

import math

import pytest
import torch

from awnlib.tasks._alpha_divergence import CLIP, alpha_divergence
from awnlib.tasks.classification import Distillation, stacked_losses
from tests.reference import float64


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def logits_of(*probabilities):
    return torch.tensor([probabilities]).log()


def divergences(p, q):
    """The two divergences of one image from their definition, without a clip."""
    pairs = list(zip(p, q, strict=True))
    return 0.5 * sum(b * (b / a - 1) for a, b in pairs), sum(a * math.log(a / b) for a, b in pairs)


@pytest.mark.parametrize(
    ("p", "q", "larger"),
    [((0.5, 0.25, 0.25), (0.4, 0.2, 0.4), 0), ((0.5, 0.49, 0.01), (0.3, 0.699, 0.001), 1)],
    ids=["classes too many", "classes too few"],
)
def test_the_larger_divergence_counts_in_value_and_gradient(p, q, larger):
    assert max(b / a for a, b in zip(p, q, strict=True)) < CLIP
    expected = divergences(p, q)
    assert max(expected) == expected[larger]
    logits, teacher = logits_of(*q).requires_grad_(), logits_of(*p).requires_grad_()
    loss = alpha_divergence(logits, teacher)
    assert loss.item() == pytest.approx(expected[larger])
    loss.backward()
    assert teacher.grad is None
    other = logits_of(*q).requires_grad_()
    student = other.softmax(1)[0]
    low = 0.5 * (student.square() / torch.tensor(p)).sum() - 0.5
    high = (torch.tensor(p) * (torch.tensor(p).log() - student.log())).sum()
    (low, high)[larger].backward()
    torch.testing.assert_close(logits.grad, other.grad)


def test_rare_classes_of_the_teacher_are_clipped():
    p, q = (0.999, 0.001), (0.5, 0.5)
    logits = logits_of(*q).requires_grad_()
    loss = alpha_divergence(logits, logits_of(*p))
    ratios = (0.5 / 0.999, 5.0)  # q / p, of which the second is 500
    assert loss.item() == pytest.approx(0.5 * sum(0.5 * (ratio - 1) for ratio in ratios))
    loss.backward()
    # sum_c q_c ratio_c (onehot_c - q), by hand
    first = 0.5 * ratios[0] * (1 - 0.5) - 0.5 * ratios[1] * 0.5
    torch.testing.assert_close(logits.grad, torch.tensor([[first, -first]]))


def test_equal_outputs_have_no_distance_and_extreme_ones_a_finite_one():
    logits = torch.randn(6, 5, requires_grad=True)
    loss = alpha_divergence(logits, logits)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-15)
    assert logits.grad.abs().max() < 1e-15
    extreme = torch.tensor([[300.0, -300.0]], requires_grad=True)
    alpha_divergence(extreme, -extreme).backward()
    assert extreme.grad.isfinite().all()


@pytest.mark.parametrize("share", [None, 0.3, torch.tensor(0.3)])
def test_losses_of_several_widths_at_once_are_those_of_each(share):
    logits, labels = torch.randn(3, 6, 4), torch.arange(6) % 4
    found = stacked_losses(logits, labels, distillation=Distillation("alpha_divergence", share))
    hard = stacked_losses(logits, labels)
    apart = torch.stack([alpha_divergence(one, logits[0]) for one in logits[1:]])
    narrower = apart if share is None else 0.3 * hard[1:] + 0.7 * apart
    torch.testing.assert_close(found, torch.cat([hard[:1], narrower]))
