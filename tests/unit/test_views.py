"""One model used by several threads: a view each, with the same weights and a width of its own."""

import operator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from awnlib.layers.batchnorm import batchnorm_statistics
from tests.reference import small_lenet

WIDTHS = [0.25, 0.5, 0.75, 1.0]
IMAGES = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def answers(model, width_mult, images=IMAGES, times=1):
    found = []
    for _ in range(times):
        model.set_width_mult(width_mult)
        found.append(model(images))
    return torch.stack(found)


@pytest.mark.parametrize("options", [{}, {"layer": "sliced", "norm": "switchable"}], ids=["any_width", "s_net"])
def test_views_in_threads_answer_as_one_model_does_alone(options):
    model = small_lenet(**options).eval()
    alone = [answers(model, width_mult).expand(100, -1, -1) for width_mult in WIDTHS]
    views = [model.view() for _ in WIDTHS]
    with ThreadPoolExecutor(len(WIDTHS)) as pool:
        together = list(pool.map(lambda view, width_mult: answers(view, width_mult, times=100), views, WIDTHS))
    assert all(map(torch.equal, together, alone))


def test_a_view_shares_the_weights_and_nothing_else():
    model = small_lenet()
    view = model.view()
    assert all(map(operator.is_, view.parameters(), model.parameters()))
    view.train().set_width_mult(0.5)
    view(IMAGES)
    assert model.channels["conv1"].width_mult == 1.0
    statistics = zip(batchnorm_statistics(view), batchnorm_statistics(model), strict=True)
    assert not any(torch.equal(own, other) for own, other in statistics)
    with torch.no_grad():
        model.conv1.weight.zero_()
    assert not view.conv1.weight.any()
