"""LeNet-3C1L against an ordinary `torch.nn.Sequential`, and its numbers of channels and widths."""

import pytest
import torch
from torch import nn

from awnlib.models import create_model
from tests.reference import float64, plain_lenet, small_lenet
from tests.unit.test_models_conform import check_prefixes

SQRT2 = 2**0.5


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


@pytest.mark.parametrize(("shape", "area"), [((1, 28, 28), 16), ((3, 32, 32), 25), ((1, 16, 20), 2)])
@pytest.mark.parametrize("training", [False, True])
def test_full_width_equals_an_ordinary_network(shape, area, training):
    torch.manual_seed(0)
    model = create_model("lenet_3c1l", layer="sliced", input_shape=shape, num_classes=7).train(training)
    network = nn.Sequential(
        *(nn.Conv2d(shape[0], 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 5, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * area, 7)),
    ).train(training)
    with torch.no_grad():
        for own, other in zip(model.state_dict().values(), network.state_dict().values(), strict=True):
            other.copy_(own)
    images = torch.randn(3, *shape)
    torch.testing.assert_close(model(images), network(images), rtol=1e-12, atol=1e-12)
    for own, other in zip(model.state_dict().values(), network.state_dict().values(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", ["triangular", "sliced"])
@pytest.mark.parametrize("norm", [{}, {"norm": "switchable"}, {"norm": "switchable", "affine": "shared"}])
@pytest.mark.parametrize("training", [False, True])
def test_every_width_equals_its_cut_out_network(layer, norm, training):
    model = small_lenet(layer=layer, **norm).train(training)
    images = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        for width_mult in model.distinct_width_mults():
            model.set_width_mult(width_mult)
            expected = plain_lenet(model)(images)  # before the model's own pass moves its statistics
            torch.testing.assert_close(model(images), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "channels", "num_widths"),
    [
        ({}, 32, 25),
        ({"base_width_mult": SQRT2}, 45, 35),
        ({"base_width_mult": SQRT2, "min_width_mult": 0.5}, 45, 23),  # 22.5 of 45 channels rounds to 23: 23 to 45
        ({"divisor": 8}, 32, 4),
        ({"base_width_mult": SQRT2, "divisor": 8}, 48, 5),  # 45.25 rounds to 48, 12 to 16: 16, 24, 32, 40, 48
    ],
)
def test_channels_and_distinct_widths(options, channels, num_widths):
    model = create_model("lenet_3c1l", **options)
    assert {name: c.full for name, c in model.channels.items()} == dict.fromkeys(("conv1", "conv2", "conv3"), channels)
    widths = model.distinct_width_mults()
    assert len(widths) == num_widths
    low = options.get("min_width_mult", 0.25)
    assert (widths[0], widths[-1]) == (low, 1.0)
    assert [model.channels["conv2"].count(w) for w in widths] == sorted(
        {model.channels["conv2"].count(low + i / 5000) for i in range(int((1 - low) * 5000) + 1)}
    )


def test_square_weights_are_lower_triangles():
    model = create_model("lenet_3c1l", base_width_mult=SQRT2)
    for conv in (model.conv2, model.conv3):
        assert torch.equal((conv.weight != 0).all(dim=(2, 3)), torch.ones(45, 45).tril().bool())
        assert torch.equal((conv.weight != 0).any(dim=(2, 3)), torch.ones(45, 45).tril().bool())
    assert bool((model.conv1.weight != 0).all())
    assert bool((model.classifier.weight != 0).all())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", [{"channels": {}, "base_width_mult": SQRT2}, {"divisor": 4, "min_width_mult": 0.1}])
def test_all_widths_of_the_papers_network_have_the_same_features(options, training):
    model = small_lenet(**options).train(training)
    check_prefixes(model, torch.randn(4, 1, 16, 16), model.distinct_width_mults())


@pytest.mark.parametrize("size", [(15, 28), (28, 15), (1, 1)])
def test_images_that_leave_nothing_are_refused(size):
    with pytest.raises(ValueError, match=rf"lenet_3c1l needs images of at least 16 pixels, found {min(size)}"):
        create_model("lenet_3c1l", input_shape=(1, *size))
    assert create_model("lenet_3c1l", input_shape=(1, 16, 16))(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
