"""The network of PPO agents: its sizes, its start, and what its options refuse."""

import pytest
import torch

from awnlib import create_model
from awnlib.layers.triangle import Staircase
from awnlib.models import create_structure
from awnlib.settings import ConfigError

ATARI = {"input_shape": (4, 84, 84), "num_classes": 5}  # four frames; four actions and a value
MINATAR = {"input_shape": (4, 10, 10), "num_classes": 4}


def shapes_of(model):
    return [tuple(parameter.shape) for name, parameter in model.named_parameters() if name.endswith("weight")]


def test_it_has_the_layers_and_the_parameters_of_the_papers_network():
    """By hand: 8,224 + 32,832 + 18,464 of the convolutions, 803,328 of the linear layer, 2,052 + 513 of the heads."""
    model = create_structure("nature_cnn", layer="sliced", **ATARI)
    assert shapes_of(model) == [(32, 4, 8, 8), (64, 32, 4, 4), (32, 64, 3, 3), (512, 32 * 7 * 7), (5, 512)]
    assert sum(parameter.numel() for parameter in model.parameters()) == 865_413


def test_small_images_get_a_small_network_and_any_get_what_is_chosen():
    assert shapes_of(create_structure("nature_cnn", **MINATAR)) == [(16, 4, 3, 3), (128, 16 * 8 * 8), (4, 128)]
    chosen = {"convolutions": [[6, 3, 2], [5, 2, 1]], "hidden": 9}
    assert shapes_of(create_structure("nature_cnn", **MINATAR, options=chosen)) == [
        (6, 4, 3, 3),
        (5, 6, 2, 2),
        (9, 5 * 3 * 3),
        (4, 9),
    ]


def test_all_its_dimensions_follow_the_width():
    model = create_model("nature_cnn", layer="sliced", **ATARI).eval()
    model.set_width_mult(0.25)
    assert [channels.active for channels in model.channels.values()] == [8, 16, 8, 128]
    assert model(torch.rand(2, *ATARI["input_shape"])).shape == (2, 5)


def test_it_starts_orthogonal_with_a_cautious_actor():
    model = create_model("nature_cnn", layer="sliced", **MINATAR)
    *layers, heads = [parameter.flatten(1) for parameter in model.parameters() if parameter.ndim > 1]
    for weight in layers:
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(len(weight)), atol=1e-5, rtol=0)
    actor, critic = heads[:-1], heads[-1]
    torch.testing.assert_close(actor @ actor.T, 1e-4 * torch.eye(3), atol=1e-8, rtol=0)
    torch.testing.assert_close(critic.norm(), torch.tensor(1.0))
    assert not any(parameter.any() for parameter in model.parameters() if parameter.ndim == 1)


def test_above_a_staircase_it_starts_at_zero_again_and_again():
    model = create_model("nature_cnn", **MINATAR)
    for _ in range(2):
        for layer in model.modules():
            if isinstance(layer, Staircase):
                assert torch.equal(layer.weight != 0, layer.mask.expand_as(layer.weight) != 0)
        model.reset_parameters()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (4, 2, 10)}, "nothing is left of 2 pixels after convolutions of kernel by stride 3 by 1"),
        ({"options": {"convolutions": [[8, 8, 4], [8, 4, 2]]}}, "nothing is left of 10 pixels .* 8 by 4, 4 by 2"),
        ({"depth_mult": 2}, "no blocks to repeat"),
    ],
)
def test_what_leaves_nothing_of_the_image_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        create_model("nature_cnn", **{**MINATAR, **options})


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"convolutions": []}, r"options\.convolutions: list should have at least 1 item"),
        ({"convolutions": [[16, 3]]}, r"options\.convolutions\.0: list should have at least 3 items"),
        ({"convolutions": [[16, 3, 0]]}, r"options\.convolutions\.0\.2: input should be greater than or equal to 1"),
        ({"kernels": 3}, r"options\.kernels: unknown key \(allowed: convolutions, hidden\)"),
        ({"hidden": 0}, r"options\.hidden: input should be greater than or equal to 1"),
    ],
)
def test_wrong_options_are_named(options, key):
    with pytest.raises(ConfigError, match=key):
        create_model("nature_cnn", **MINATAR, options=options)
