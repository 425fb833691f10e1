"""Gradients of several widths: their norms, and whether they point the same way."""

import copy
import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, SlimmableLinear, SlimmableNetwork, SwitchableBatchNorm2d
from awnlib.model_cost import cost
from awnlib.seeding import rng
from awnlib.training.gradients import Gradient, GradientTracker, compare, gradients, norm
from tests.reference import float64, small_lenet, small_model

WIDTHS = [1.0, 0.5, 0.25]
IMAGES = torch.rand(6, 1, 16, 16, generator=rng(0), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def exactly(value):
    return pytest.approx(value, abs=1e-12)


def of_labels(outputs: Tensor, _: Tensor | None) -> Tensor:
    return F.cross_entropy(outputs, LABELS[: len(outputs)])


def of_teacher(outputs: Tensor, teacher: Tensor | None) -> Tensor:
    return F.cross_entropy(outputs, LABELS if teacher is None else teacher.softmax(dim=1))


def test_gradients_made_by_hand():
    """Both use the first column of `weight`, (1, 3) and (6, 7), and all of `last`, 2 and -1; only one uses `own`."""
    wide = {
        "weight": Gradient(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (2, 2)),
        "own": Gradient(torch.tensor([5.0]), (1,)),
        "last": Gradient(torch.tensor([2.0]), (1,)),
    }
    narrow = {
        "weight": Gradient(torch.tensor([[6.0, 0.0], [7.0, 0.0]]), (2, 1)),
        "last": Gradient(torch.tensor([-1.0]), (1,)),
    }
    assert norm(wide).item() == exactly(math.sqrt(1 + 4 + 9 + 16 + 25 + 4))
    assert norm(narrow).item() == exactly(math.sqrt(36 + 49 + 1))
    expected = (math.sqrt(1 + 9 + 4), math.sqrt(86), (6 + 21 - 2) / math.sqrt(14 * 86))
    assert [value.item() for value in compare(wide, narrow)] == exactly(list(expected))
    assert [value.item() for value in compare(narrow, wide)] == exactly([expected[1], expected[0], expected[2]])


def test_a_gradient_of_zero_has_no_direction():
    zero, one = ({"weight": Gradient(torch.tensor([value, 1.0]), (size,))} for value, size in ((0.0, 2), (1.0, 1)))
    own, other, cosine = (value.item() for value in compare(zero, one))
    assert (own, other) == (0, 1)
    assert math.isnan(cosine)
    assert math.isnan(compare(zero, {})[2])


class Sum(SlimmableNetwork):
    """One output that sums up two inputs."""

    def __init__(self) -> None:
        channels = Channels(2, min_width_mult=0.5)
        super().__init__({"inputs": channels}, input_shape=(2,))
        self.last = SlimmableLinear(channels, 1, bias=False)
        self.last.weight.data = torch.tensor([[2.0, -1.0]])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(inputs[:, : self.channels["inputs"].active])


def test_a_network_by_hand():
    """With the loss y^2 / 2 the gradient is y x: (-1, -3) at full width, where y = -1, and 2 at half, where y = 2."""
    with float64():
        tracker = GradientTracker(Sum(), range(2, 3), [1.0, 0.5])
        tracker.observe(2, torch.tensor([[1.0, 3.0]]), lambda outputs, _: outputs.square().sum() / 2)
    wide, narrow, both = tracker.rows()
    assert (wide["step"], wide["width_mult"], wide["other_width_mult"]) == (2, 1.0, None)
    assert wide["norm"] == exactly(math.sqrt(10))
    assert narrow["norm"] == exactly(2)
    assert (both["width_mult"], both["other_width_mult"]) == (1.0, 0.5)
    assert [both[key] for key in ("norm", "other_norm", "cosine")] == exactly([1, 2, -1])
    assert all(math.isnan(alone[key]) for alone in (wide, narrow) for key in ("other_norm", "cosine"))


def uses(model, name, index):
    """Whether the active width uses one number of a parameter."""
    *path, kind = name.split(".")
    layer = model.get_submodule(".".join(path))
    if isinstance(layer, SlimmableConv2d):
        depthwise = layer.groups > 1
        return index[0] < layer.channels_out.active and (depthwise or index[1] < layer.channels_in.active)
    if isinstance(layer, SlimmableLinear):
        columns = layer.channels_in.active * layer.features_per_channel
        return index[0] < layer.channels_out.active and (kind == "bias" or index[1] < columns)
    if hasattr(layer, "channels"):
        return index[0] < layer.channels.active
    switchable = model.get_submodule(".".join(path[:-2]))  # of whose private norms one is active
    assert isinstance(switchable, SwitchableBatchNorm2d)
    return layer is switchable.statistics


def slow_gradient(model, width, loss, teacher):
    """Return the gradient of one width's loss, number by number, of those that it uses, and its outputs."""
    model = copy.deepcopy(model).train()
    model.set_width_mult(width)
    outputs = model(IMAGES.expand(-1, model.input_shape[0], -1, -1))
    loss(outputs, teacher).backward()
    found = {
        (name, *index): parameter.grad[index].item() if parameter.grad is not None else 0.0
        for name, parameter in model.named_parameters()
        for index in itertools.product(*map(range, parameter.shape))
        if uses(model, name, index)
    }
    return found, outputs.detach()


def slow_comparison(one, other):
    shared = [(one[key], other[key]) for key in one if key in other]
    square, other_square = (math.fsum(pair[which] ** 2 for pair in shared) for which in (0, 1))
    product = math.fsum(a * b for a, b in shared)
    return [math.sqrt(square), math.sqrt(other_square), product / math.sqrt(square * other_square)]


@pytest.mark.parametrize("loss", [of_labels, of_teacher])
@pytest.mark.parametrize(
    "options",
    [
        {"layer": "triangular"},
        {"layer": "sliced", "norm": "switchable", "affine": "shared", "switches": [1.0, 0.25]},
        {"layer": "sliced", "norm": "switchable", "switches": WIDTHS},
        {"layer": "sliced", "average_inputs": True},
        {"name": "mobilenet_v1", "layer": "sliced", "base_width_mult": 1 / 16},
    ],
    ids=["triangular", "us_net", "s_net", "averaging", "depthwise"],
)
def test_comparisons_equal_slow_ones(options, loss):
    with float64():
        model = small_model(**options) if "name" in options else small_lenet(**options)
        model.train()
        tracker = GradientTracker(model, range(1), WIDTHS)
        tracker.observe(0, IMAGES.expand(-1, model.input_shape[0], -1, -1), loss)
        found, teacher = {}, None
        for width in WIDTHS:
            found[width], outputs = slow_gradient(model, width, loss, teacher)
            teacher = outputs if teacher is None else teacher
    rows = tracker.rows()
    assert len(rows) == 3 + 3
    for row in rows:
        one, other = found[row["width_mult"]], found.get(row["other_width_mult"])
        if other is None:
            assert row["norm"] == exactly(math.sqrt(math.fsum(value**2 for value in one.values())))
        else:
            assert [row[key] for key in ("norm", "other_norm", "cosine")] == exactly(slow_comparison(one, other))


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50"])
def test_what_a_width_uses_is_what_its_cost_counts(name):
    model = small_model(name, layer="sliced")
    for width in (1.0, 0.5):
        model.set_width_mult(width)
        found = gradients(model, model(torch.rand(2, 3, 16, 16, generator=rng(0))).sum())
        assert sum(math.prod(gradient.block) for gradient in found.values()) == cost(model).params


@pytest.mark.parametrize("options", [{}, {"layer": "sliced", "norm": "switchable"}])
def test_comparing_changes_nothing(options):
    model = small_lenet(**options).train()
    model.set_width_mult(0.3)
    before = copy.deepcopy(model.state_dict())
    GradientTracker(model, range(1), WIDTHS).observe(0, IMAGES.float(), of_labels)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {channels.width_mult for channels in model.channels.values()} == {0.3}
    assert all(parameter.grad is None for parameter in model.parameters())


def test_only_chosen_iterations_are_compared():
    model = small_lenet().train()
    tracker = GradientTracker(model, range(0, 6, 3), [1.0, 0.5])
    for step in range(6):
        tracker.observe(step, IMAGES[step % 3 :].float(), of_labels)
    rows = tracker.rows()
    assert [row["step"] for row in rows] == [0] * 3 + [3] * 3
    assert not any(math.isnan(row["norm"]) for row in rows)


def test_a_task_must_say_what_a_width_learns_from():
    tracker = GradientTracker(small_lenet(), range(1, 2), WIDTHS)
    tracker.observe(0, IMAGES, None)  # not one of the chosen
    with pytest.raises(ValueError, match=r"track\.gradients: must be 0 for this task"):
        tracker.observe(1, IMAGES, None)
