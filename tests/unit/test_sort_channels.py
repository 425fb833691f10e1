"""Sorting channels: the same function at full width, the heaviest channels first."""

import pytest
import torch
from torch import nn

from awnlib.convert.slimmable import to_slimmable
from awnlib.convert.sort_channels import sort_channels
from awnlib.evaluation.recalibrate import recalibrate_bn
from tests.masked import shake
from tests.unit.test_convert_random import IMAGES, RandomNetwork, check
from tests.unit.test_to_slimmable import IMAGES as COLOURS
from tests.unit.test_to_slimmable import Block, NormsOfAllKinds


@torch.no_grad()
def test_a_chain_is_sorted_by_what_reads_it():
    """Two layers read the first one's channels: weights of the second and of the third are added up."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 2, 1))
    converted = to_slimmable(shake(network), COLOURS)
    read = torch.tensor([[1.0, -4.0, 2.0, -3.0], [0.5, 0.0, 2.5, -3.0]])
    converted[3].weight.copy_(read[:, :, None, None])  # 1.5, 4, 4.5 and 6
    before = {name: value.clone() for name, value in converted.state_dict().items()}
    outputs = converted(COLOURS)
    sort_channels(converted)
    order = [3, 2, 1, 0]
    for name, value in converted.state_dict().items():
        expected = before[name]
        if name == "3.weight":
            expected = expected[:, order]
        elif not name.startswith("3.") and expected.ndim:
            expected = expected[order]
        assert torch.equal(value, expected), name
    torch.testing.assert_close(converted(COLOURS), outputs)


@pytest.mark.parametrize("kind", [Block, NormsOfAllKinds])
@torch.no_grad()
def test_networks_stay_the_same_function(kind):
    converted = to_slimmable(shake(kind()).double(), COLOURS.double(), divisor=1)
    outputs, before = converted(COLOURS.double()), [parameter.clone() for parameter in converted.parameters()]
    sort_channels(converted)
    torch.testing.assert_close(converted(COLOURS.double()), outputs)
    assert any(not torch.equal(*pair) for pair in zip(before, converted.parameters(), strict=True))


@pytest.mark.parametrize("seed", range(30, 38))
@torch.no_grad()
def test_random_networks_stay_the_same_function(seed):
    network = shake(RandomNetwork(seed).double(), seed)
    converted = check(seed)
    if converted is not None:
        converted.set_width_mult(1.0)
        sort_channels(converted)
        torch.testing.assert_close(converted(IMAGES), network(IMAGES))


def test_statistics_of_narrow_widths_come_later():
    converted = to_slimmable(Block(), COLOURS)
    recalibrate_bn(converted, [COLOURS], [0.5, 1.0])
    with pytest.raises(
        ValueError, match=r"sort before other widths than 1 have BN statistics, found those of \[0.5, 1"
    ):
        sort_channels(converted)
