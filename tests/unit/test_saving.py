"""What becomes of models and extracted networks outside of this process, and in torch's own tools: of every model."""

import copy
import multiprocessing
import pickle

import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.utils.parametrize import is_parametrized

from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.deploy.extract import extract
from awnlib.models import create_model, create_structure, load_model, model_names, save_model
from tests.reference import plain_structure, small_lenet, small_model
from tests.unit.test_models_conform import CLASSIFIERS, FAMILIES, answer, uneven

WIDTH_MULT = 0.6
WIDEST = 256
"""Channels of the widest layer: more cost time alone."""
ALL_MODELS = pytest.mark.parametrize("name", model_names())
FOLDED = pytest.mark.parametrize("fold_bn", [False, True], ids=["norms", "folded"])

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning", "ignore:The TorchScript type system:UserWarning"
)


def any_width(name, **options):
    """A narrow network in evaluation mode; the last layers of a ResNet18 of half the width still skip their zeros."""
    torch.manual_seed(0)
    widest = max(channels.full for channels in plain_structure(name).channels.values())
    narrow = min(0.5, WIDEST / widest)
    model = create_model(name, input_shape=(3, 16, 16), num_classes=12, base_width_mult=narrow, **options).eval()
    model.set_width_mult(WIDTH_MULT)
    return model


def images_of(num=2):
    return torch.randn(num, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def saved_whole(network, folder):
    torch.save(network, folder / "network.pt")
    return torch.load(folder / "network.pt", weights_only=False)


def test_a_model_keeps_the_path_of_its_dimensions(tmp_path):
    paths = {"conv1": [(0.0, 3), (1 / 3, 5)], "conv3": [(0.0, 2), (0.1 + 0.2, 4), (0.9, 6)]}
    model = small_lenet(layer="sliced", paths=paths)
    save_model(tmp_path / "model.safetensors", model)
    loaded, _ = load_model(tmp_path / "model.safetensors")
    assert loaded.spec == model.spec
    model.eval().set_width_mult(0.5)
    loaded.set_width_mult(0.5)
    assert [channels.active for channels in loaded.channels.values()] == [5, 4, 4]
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(loaded(images), model(images))
    rising = [loaded.set_width_mult(width) or loaded.channels["conv3"].active for width in model.distinct_width_mults()]
    assert set(rising) == {2, 4, 6}
    with pytest.raises(ValueError, match="lenet_3c1l has no channels conv4"):
        small_lenet(paths={"conv4": paths["conv1"]})


@ALL_MODELS
@FAMILIES
def test_files_and_views_are_the_same_model(name, family, tmp_path):
    depth_mult = 2 if plain_structure(name).stage_blocks and family["norm"] == "shared" else 1
    options = {"divisor": 2, "depth_mult": depth_mult, "stem": "large", "min_width_mult": 0.2, "switches": [0.3, 1.0]}
    model = small_model(name, **family, **options)
    model.train()(images_of(4))
    save_model(tmp_path / "model.safetensors", model.eval(), note="x")
    loaded, metadata = load_model(tmp_path / "model.safetensors")
    assert metadata == {"note": "x"}
    assert (loaded.spec, loaded.stage_blocks) == (model.spec, model.stage_blocks)
    assert not loaded.training
    view, images = model.view(), images_of(4)
    for width in (1.0, 0.4, 0.2, {key: min(width, 0.9) for key, width in uneven(model).items()}):
        expected = answer(model, images, width)
        assert torch.equal(answer(loaded, images, width), expected)
        assert torch.equal(answer(view, images, width), expected)


@ALL_MODELS
@FAMILIES
def test_a_structure_without_memory_becomes_a_new_model(name, family):
    options = {"input_shape": (3, 32, 32), "num_classes": 12, "base_width_mult": 0.125, **family}
    torch.manual_seed(0)
    expected = create_model(name, **options).eval()
    structure = create_structure(name, **options)
    assert all(tensor.is_meta for tensor in structure.parameters())
    model = structure.to_empty(device="cpu").eval()
    for tensor in model.state_dict().values():
        tensor.fill_(7)
    model.set_width_mult(0.5)
    torch.manual_seed(0)
    model.reset_parameters()
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), answer(expected, images, 0.5))


@ALL_MODELS
@FOLDED
def test_an_extracted_network_survives_pickles_copies_and_compilers(name, fold_bn, tmp_path):
    network, images = extract(any_width(name), WIDTH_MULT, fold_bn=fold_bn), images_of()
    expected = network(images)
    for other in (
        pickle.loads(pickle.dumps(network)),
        saved_whole(network, tmp_path),
        copy.deepcopy(network),
        torch.jit.script(network),
        torch.jit.trace(network, images[:1]),
    ):
        close(other(images), expected)
    assert "images : str" not in network.code


@ALL_MODELS
@pytest.mark.parametrize("options", [{}, {"layer": "sliced", "norm": "switchable"}], ids=["any width", "switchable"])
def test_a_model_survives_pickles_copies_and_tracers(name, options, tmp_path):
    model, images = any_width(name, **options), images_of()
    expected = model(images)
    others = [copy.deepcopy(model), torch.jit.trace(model, images[:1])]
    if any(map(is_parametrized, model.modules())):  # torch says so: normalised weights live in a state dict alone
        with pytest.raises(RuntimeError, match=r"only supported through state_dict\(\)"):
            pickle.dumps(model)
    else:
        others += [pickle.loads(pickle.dumps(model)), saved_whole(model, tmp_path)]
    for other in others:
        close(other(images), expected)


@ALL_MODELS
def test_exported_models(name):
    model, images = any_width(name), images_of()
    close(torch.export.export(model, (images,)).module()(images), model(images))


@ALL_MODELS
def test_gradients_of_single_images(name):
    """By `torch.func`, of the model and of what is extracted, against one backward pass for each image."""
    model, images = any_width(name), images_of()
    for network in (model, extract(model, WIDTH_MULT)):

        def loss(parameters, image, network=network):
            return functional_call(network, parameters, image[None]).square().sum()

        found = vmap(grad(loss), in_dims=(None, 0))(dict(network.named_parameters()), images)
        for number, image in enumerate(images):
            network.zero_grad()
            network(image[None]).square().sum().backward()
            for key, parameter in network.named_parameters():
                expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                assert (found[key][number] - expected).norm() <= 1e-4 * expected.norm() + 1e-6


@CLASSIFIERS
def test_anytime_networks_are_pickled_and_copied_without_their_images(name):
    network, images = AnytimeNetwork(any_width(name), channels_last=True), images_of()
    network.start(images)
    expected = network.logits(0.5), network.logits(1.0)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        with pytest.raises(RuntimeError, match=r"call start\(images\) first"):
            other.logits(0.5)
        other.start(images)
        close((other.logits(0.5), other.logits(1.0)), expected)
        assert other.macs(0.5, 1.0) == network.macs(0.5, 1.0)
    assert torch.equal(network.logits(1.0), expected[1])


def answer_elsewhere(networks, images, file):
    """Runs in another process, to which everything is sent as a pickle."""
    plain, anytime = networks
    anytime.start(images)
    torch.save([plain(images).detach(), anytime.logits(WIDTH_MULT)], file)


@pytest.mark.slow
def test_another_process_computes_the_same(tmp_path):
    model, images = any_width("lenet_3c1l"), images_of()
    networks, file = (extract(model, WIDTH_MULT), AnytimeNetwork(model)), tmp_path / "answers.pt"
    process = multiprocessing.get_context("spawn").Process(target=answer_elsewhere, args=(networks, images, file))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    close(torch.load(file), [model(images).detach()] * 2)
