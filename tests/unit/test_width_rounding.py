"""A width with float noise is the width that was meant, in models, training, recalibration, sweeps and studies."""

import copy

import numpy as np
import pytest
import torch

from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.settings import ConfigError
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.config import parse_study
from awnlib.tasks.classification import backward_widths
from awnlib.training.engine import model_spec
from tests.reference import float64, small_lenet, wide

S_NET = {"layer": "sliced", "norm": "switchable", "switches": [1.0, 0.6, 0.3]}
US_NET = {"layer": "sliced", "norm": "switchable", "switches": [1.0, 0.25], "affine": "shared"}
NOISY = [0.1 + 0.2, float(np.float32(0.3)), torch.tensor(0.6).item(), 0.6 - 9e-7, 1 + 9e-7]
IMAGES, LABELS = torch.randn(7, 1, 16, 16, dtype=torch.float64), torch.arange(7) % 3


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


@pytest.mark.parametrize("options", [S_NET, {"switches": [1.0, 0.6, 0.3]}], ids=["s_net", "any_width"])
@pytest.mark.parametrize("noisy", NOISY)
def test_outputs_are_those_of_the_trained_width(options, noisy):
    model = small_lenet(**options).eval()
    model.set_width_mult(round(float(noisy), 3))
    expected = model(IMAGES)
    model.set_width_mult(noisy)
    assert torch.equal(model(IMAGES), expected)


@pytest.mark.parametrize("noisy", NOISY)
def test_training_updates_the_statistics_of_the_trained_width(noisy):
    model = small_lenet(**S_NET)
    exact = copy.deepcopy(model)
    backward_widths(model, IMAGES, LABELS, [noisy])
    backward_widths(exact, IMAGES, LABELS, [round(float(noisy), 3)])
    before = small_lenet(**S_NET).state_dict()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert len(changed) == 3 * 3  # mean, variance and number of batches, of three layers
    assert all(torch.equal(value, exact.state_dict()[name]) for name, value in model.state_dict().items())


def test_recalibrated_widths_are_those_asked_for():
    model = small_lenet(**US_NET)
    recalibrate_bn(model, [IMAGES], np.linspace(0.25, 1, 7).tolist())
    assert model.switch_width_mults == np.linspace(0.25, 1, 7).tolist()
    recalibrate_bn(model, [IMAGES], [0.25 + 1e-9, 1.0])
    assert model.switch_width_mults == model.spec.switches == [0.25, 1.0]
    with pytest.raises(ValueError, match="must be different, by more than rounding"):
        recalibrate_bn(model, [IMAGES], [0.5, 0.5 + 1e-9, 1.0])
    assert model.switch_width_mults == [0.25, 1.0]


def test_a_sweep_names_the_trained_widths():
    widths = [0.1 + 0.2, 0.6 + 1e-9, 0.8]
    rows = wide(sweep_widths(small_lenet(**S_NET), [(IMAGES, LABELS)], widths, trained=[0.8 + 1e-9]))
    assert [(row["width_mult"], row["is_trained"]) for row in rows] == [(0.3, False), (0.6, False), (0.8 + 1e-9, True)]
    assert [row["switch_width_mult"] for row in rows] == [0.3, 0.6, 1.0]
    with pytest.raises(ValueError, match="must be different, by more than rounding"):
        sweep_widths(small_lenet(), [(IMAGES, LABELS)], [0.5, 0.5 + 1e-9])


def test_every_distinct_width_has_one_row():
    model = small_lenet(**S_NET)
    assert model.distinct_width_mults([0.1 + 0.2, 0.6 - 9e-7]) == model.distinct_width_mults([0.3, 0.6])


def test_studies_with_widths_that_are_one_are_refused(study_data):
    with pytest.raises(ConfigError, match="must be different, by more than rounding"):
        parse_study(study_data | {"widths": [1.0, 0.1 + 0.2, 0.3]})


@pytest.mark.parametrize(
    ("method", "trained"),
    [
        ("awn", [1.0, 0.6, 0.3]),
        ("awn_2w", [1.0, 0.3]),
        ("s_net", [1.0, 0.6, 0.3]),
        ("us_net", [1.0, 0.3]),
        ("awn_rs", [1.0, 0.3]),
        ("awn_all", [1.0, 0.6, 0.3]),
    ],
)
def test_networks_of_a_study_know_their_trained_widths(study_data, method, trained):
    panel = {"model": "lenet_3c1l", "dataset": next(iter(study_data["datasets"]))}
    exhibits = {"any_width_networks.table2": {"panels": [panel], "methods": [method]}}
    (run,) = runs(parse_study(study_data | {"exhibits": exhibits, "widths": [1.0, 0.6, 0.3], "seeds": [0]}))
    assert model_spec(run, (1, 28, 28), 10).switches == trained
