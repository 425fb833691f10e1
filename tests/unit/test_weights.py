"""Weights that were made elsewhere, against torchvision's own networks; and what is said of those that do not fit."""

import pytest
import torch

from awnlib.models import create_model, load_torchvision_weights
from awnlib.seeding import rng
from awnlib.torchvision_shim import import_torchvision

NAMES = ("resnet18", "mobilenet_v2")
OPTIONS = {"layer": "sliced", "input_shape": [3, 64, 64], "stem": "large"}


@pytest.fixture(scope="module", params=NAMES)
def plain(request):
    """A network of torchvision with random weights and statistics of its own, in evaluation mode."""
    model = getattr(import_torchvision().models, request.param)(num_classes=12)
    for index, tensor in enumerate(model.state_dict().values()):
        if tensor.dim() == 1:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=rng(0, index)))
    return request.param, model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 64, 64, generator=rng(1))


@pytest.mark.parametrize("norm", [{}, {"norm": "switchable"}, {"norm": "switchable", "affine": "shared"}])
@torch.no_grad()
def test_torchvisions_weights_give_torchvisions_logits(plain, images, norm):
    name, network = plain
    model = create_model(name, num_classes=12, **OPTIONS, **norm).eval()
    assert not torch.allclose(model(images), network(images), atol=1e-2)
    load_torchvision_weights(model, network.state_dict())
    torch.testing.assert_close(model(images), network(images), rtol=1e-5, atol=1e-5)
    model.set_width_mult(0.5)
    assert model(images).isfinite().all()


@torch.no_grad()
def test_the_classifier_may_stay(plain, images):
    name, network = plain
    model = create_model(name, num_classes=5, **OPTIONS).eval()
    before = model.classifier.weight.clone()
    load_torchvision_weights(model, network.state_dict(), classifier=False)
    assert torch.equal(model.classifier.weight, before)
    network_features = torch.nn.Sequential(*list(network.children())[:-1])(images)
    expected = network_features.mean((2, 3)) if network_features.dim() == 4 else network_features
    torch.testing.assert_close(model.features(images), expected, rtol=1e-5, atol=1e-5)


def test_old_files_do_not_count_batches(plain):
    name, network = plain
    old = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    load_torchvision_weights(create_model(name, num_classes=12, **OPTIONS), old)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_classes": 10}, r"2 of another shape \(\S+ \[12, \d+\] instead of \[10, \d+\], \S+ \[12\] instead of"),
        ({"base_width_mult": 0.5}, r"\d+ of another shape"),
        ({"depth_mult": 2}, r"\d+ missing"),
        ({"layer": "triangular"}, r"not triangular \(allowed: layer 'sliced'\)"),
    ],
)
def test_other_networks_are_refused_before_anything_changes(plain, changes, words):
    name, network = plain
    model = create_model(name, **{"num_classes": 12, **OPTIONS, **changes})
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=words) as caught:
        load_torchvision_weights(model, network.state_dict())
    assert len(str(caught.value)) < 600
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_network_that_torchvision_lacks():
    with pytest.raises(ValueError, match="lenet_3c1l has no torchvision_name"):
        load_torchvision_weights(create_model("lenet_3c1l", layer="sliced"), {})


def test_names_that_differ_are_told_in_short_with_the_way(plain):
    name, network = plain
    model = create_model(name, num_classes=12, **OPTIONS)
    with pytest.raises(
        RuntimeError, match=r"\d{3} missing \(stem\.conv\.weight, .*\d{3} unknown \(.*_torchvision_"
    ) as caught:
        model.load_state_dict(network.state_dict())
    assert len(str(caught.value)) < 400
    assert model.load_state_dict(model.state_dict()).missing_keys == []
