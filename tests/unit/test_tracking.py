"""Figure 2's numbers: what a norm layer sees at each width, and what it has stored."""

import copy

import pytest
import torch

from awnlib.models import create_model
from awnlib.seeding import rng
from awnlib.training.tracking import StatisticsTracker

IMAGES = torch.rand(12, 1, 16, 16, generator=rng(0))
WIDTHS = [1.0, 0.5, 0.25]


def make_model(**options):
    return create_model("lenet_3c1l", input_shape=[1, 16, 16], **options).train()


def input_of_norm3(model, width):
    """Return the input of norm3 in a pass of its own, on a copy."""
    model = copy.deepcopy(model)
    seen = []
    model.norm3.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.set_width_mult(width)
    model(IMAGES)
    return seen[0]


@pytest.mark.parametrize("layer", ["sliced", "triangular"])
def test_rows_hold_the_statistics_of_the_batch_and_of_the_layer(layer):
    model = make_model(layer=layer)
    model(IMAGES)
    tracker = StatisticsTracker(model, None, steps=range(3, 4), width_mults=WIDTHS)
    tracker.observe(3, IMAGES)
    expected = []
    for width in WIDTHS:
        values = input_of_norm3(model, width)[:, :8]  # 32 channels: 8 of them at width 0.25
        columns = (values.mean((0, 2, 3)), values.var((0, 2, 3), correction=0))
        columns += (model.norm3.running_mean[:8], model.norm3.running_var[:8])
        expected += [(width, c, *row) for c, row in enumerate(zip(*(x.tolist() for x in columns), strict=True))]
    keys = ("width_mult", "channel", "batch_mean", "batch_var", "running_mean", "running_var")
    rows = tracker.rows()
    assert {(row["layer"], row["step"]) for row in rows} == {("norm3", 3)}
    found = torch.tensor([[row[key] for key in keys] for row in rows], dtype=torch.float64)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-6)


def test_switchable_norm_reports_the_statistics_of_the_width():
    model = make_model(layer="sliced", norm="switchable", switches=[1.0, 0.5], min_width_mult=0.5)
    for norm in model.norm3.norms:
        norm.running_mean.fill_(norm.num_features)
    tracker = StatisticsTracker(model, "norm3", steps=range(1), width_mults=[1.0, 0.75, 0.5])
    tracker.observe(0, IMAGES)
    stored = {row["width_mult"]: row["running_mean"] for row in tracker.rows()}
    assert stored == {1.0: 32, 0.75: 32, 0.5: 16}


def test_only_chosen_iterations_are_recorded():
    """What every iteration leaves is what the chosen ones left: no later one writes over it."""
    model = make_model()
    tracker = StatisticsTracker(model, "norm1", steps=range(0, 7, 3), width_mults=[1.0, 0.5])
    alone = [
        StatisticsTracker(model, "norm1", steps=range(step, step + 1), width_mults=[1.0, 0.5]) for step in (0, 3, 6)
    ]
    for step in range(7):
        for some in (tracker, *alone):
            some.observe(step, IMAGES[step : step + 4])
        model(IMAGES[step : step + 2])
    assert tracker.rows() == [row for some in alone for row in some.rows()]
    assert [row["step"] for row in tracker.rows()] == [0] * 32 + [3] * 32 + [6] * 32  # two widths, 16 channels


@pytest.mark.parametrize("options", [{}, {"layer": "sliced", "norm": "switchable"}])
def test_recording_changes_nothing(options):
    model = make_model(**options)
    model.set_width_mult(0.3)
    before = copy.deepcopy(model.state_dict())
    StatisticsTracker(model, None, steps=range(1), width_mults=WIDTHS).observe(0, IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {channels.width_mult for channels in model.channels.values()} == {0.3}
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_unknown_layer():
    with pytest.raises(ValueError, match=r"track\.layer: no norm layer 'bn1' \(the model has: norm1, norm2, norm3\)"):
        StatisticsTracker(make_model(), "bn1", steps=range(1), width_mults=WIDTHS)
