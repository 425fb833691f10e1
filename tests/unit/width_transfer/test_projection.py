"""Training configurations made cheaper: the network, the images, both."""

import pytest
import torch

from awnlib.data import ImageData
from awnlib.model_cost import cost
from awnlib.models import ModelSpec, create_model
from awnlib.settings import ConfigError, parse
from awnlib.width_transfer.projection import Projection

SPEC = ModelSpec(
    name="mobilenet_v2", input_shape=(3, 96, 96), layer="sliced", base_width_mult=0.5, depth_mult=2, slim_last=True
)


def images(counts=(40, 20, 10)):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    numbers = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    return ImageData("dots", numbers, labels, numbers[:5], labels[:5], ("a", "b", "c"), (0.5,), (0.2,), "computed")


def numbers(data):
    return data.train_images[:, 0, 0, 0].tolist()


def test_nothing_projected_is_the_original():
    projection, data = Projection(), images()
    assert projection.project_network(SPEC) == SPEC
    assert projection.choose_images(data, 0) is data


def test_each_alone():
    assert Projection(width_mult=0.2).project_network(SPEC).base_width_mult == 0.2
    assert Projection(depth_mult=1).project_network(SPEC).depth_mult == 1
    assert Projection(image_size=24).project_network(SPEC).input_shape == (3, 24, 24)


def test_compound_networks_cost_less_in_every_way():
    compound = Projection(width_mult=0.2, depth_mult=1, image_size=48)
    alone = [Projection(**{name: value}) for name, value in compound.model_dump(exclude={"data_share"}).items()]
    macs = [cost(create_model(**p.project_network(SPEC).model_dump())).macs for p in (compound, *alone, Projection())]
    assert macs[0] < min(macs[1:4]) < max(macs[1:4]) < macs[4]


@pytest.mark.parametrize(("size", "stem"), [(96, "large"), (32, "small")])
def test_another_resolution_is_not_another_network(size, stem):
    """48 pixels are a small image, 96 are not: the projection must not keep another resolution than the original."""
    spec = SPEC.model_copy(update={"input_shape": (3, size, size)})
    for projected in (48, 96):
        found = Projection(image_size=projected).project_network(spec)
        assert (found.input_shape, found.small_stem) == ((3, projected, projected), stem == "small")
    assert Projection(image_size=size).project_network(spec) == spec


def test_images_that_are_not_square_become_so():
    spec = SPEC.model_copy(update={"input_shape": (3, 96, 48)})
    assert Projection(image_size=48).project_network(spec).input_shape == (3, 48, 48)


def test_counts_given_one_by_one_have_no_width():
    spec = SPEC.model_copy(update={"channels": {"last": 7}})
    with pytest.raises(ValueError, match="width_mult cannot project a network whose channels are given"):
        Projection(width_mult=0.5).project_network(spec)
    assert Projection(depth_mult=1).project_network(spec).channels == {"last": 7}


@pytest.mark.parametrize(("share", "counts"), [(0.1, (4, 2, 1)), (0.5, (20, 10, 5)), (0.8, (32, 16, 8))])
def test_a_share_has_its_part_of_each_class(share, counts):
    data = images()
    chosen = Projection(data_share=share).choose_images(data, seed=3)
    assert tuple(torch.bincount(chosen.train_labels).tolist()) == counts
    for number, label in zip(numbers(chosen), chosen.train_labels.tolist(), strict=True):
        assert data.train_labels[number] == label
    assert len(set(numbers(chosen))) == sum(counts)
    assert torch.equal(chosen.test_images, data.test_images)
    assert (chosen.mean, chosen.std, chosen.classes) == (data.mean, data.std, data.classes)


def test_shares_follow_the_seed_and_are_nested():
    data = images()
    small, large = (numbers(Projection(data_share=share).choose_images(data, 1)) for share in (0.2, 0.5))
    assert set(small) < set(large)
    assert numbers(Projection(data_share=0.2).choose_images(data, 1)) == small
    assert numbers(Projection(data_share=0.2).choose_images(data, 2)) != small


@pytest.mark.parametrize(("share", "missing"), [(0.03, "c"), (0.001, "a, b, c")])
def test_a_share_without_images_of_a_class_is_refused(share, missing):
    with pytest.raises(ValueError, match=f"data_share {share:g} has no image of class {missing}: dots has too few"):
        Projection(data_share=share).choose_images(images(), 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"data_share": 0.0}, "data_share: .*greater than 0"),
        ({"data_share": 1.1}, "data_share: .*less than or equal to 1"),
        ({"depth_mult": 0}, "depth_mult: .*greater than or equal to 1"),
        ({"depth_mult": 1.5}, "depth_mult: .*valid integer"),
        ({"width_mult": -1.0}, "width_mult: .*greater than 0"),
        ({"image_size": 4}, "image_size: .*greater than or equal to 8"),
        ({"base_width_mult": 0.5}, "base_width_mult: unknown key"),
    ],
)
def test_wrong_projections_are_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        parse(Projection, data)


def test_a_network_without_blocks_has_no_depth_to_project():
    spec = Projection(depth_mult=2).project_network(ModelSpec(name="lenet_3c1l"))
    with pytest.raises(ValueError, match="lenet_3c1l has no blocks to repeat"):
        create_model(**spec.model_dump())
