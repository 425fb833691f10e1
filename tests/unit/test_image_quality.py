"""PSNR and SSIM against torchmetrics, and by hand."""

import math

import pytest
import torch

from awnlib.tasks._image_quality import grey, luminance, psnr_db, ssim, without_border
from awnlib.torchvision_shim import import_torchvision


@pytest.fixture(scope="module")
def oracle():
    """torchmetrics imports torchvision, which needs its operators first."""
    import_torchvision()
    import torchmetrics.functional.image as module

    return module


def some_images(colours=3):
    """Smooth images, and the same with different noise."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 5, 40), torch.linspace(0, 7, 33), indexing="ij")
    images = torch.stack([128 + 100 * torch.sin(x + y * (c + 1)) for c in range(colours)]).expand(3, -1, -1, -1)
    noise = torch.randn(images.shape, generator=generator) * torch.tensor([2.0, 10.0, 40.0])[:, None, None, None]
    return (images + noise).round().clamp(0, 255), images.round()


@pytest.mark.parametrize("colours", [1, 3])
def test_both_are_those_of_torchmetrics(colours, oracle):
    images, targets = some_images(colours)
    expected = [
        oracle.peak_signal_noise_ratio(*pair, data_range=255.0).item() for pair in zip(images, targets, strict=True)
    ]
    assert psnr_db(images, targets).tolist() == pytest.approx(expected, abs=1e-4)
    assert expected[0] > 35 > 20 > expected[2]
    options = {"data_range": 255.0, "reduction": "none", "return_full_image": True}
    _, everywhere = oracle.structural_similarity_index_measure(images.double(), targets.double(), **options)
    expected = everywhere[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))  # the others look beyond the image, which it mirrors
    torch.testing.assert_close(ssim(images, targets), expected, rtol=0, atol=1e-9)
    assert expected[0] > 0.9 > 0.6 > expected[2]


def test_one_pixel_that_is_wrong_by_one():
    images = torch.zeros(1, 1, 12, 12)
    other = images.clone()
    other[0, 0, 3, 4] = 1
    assert psnr_db(images, other).item() == pytest.approx(10 * math.log10(255**2 * 144))
    assert psnr_db(images, images).item() == math.inf
    assert ssim(images, images).item() == 1


def test_luminance_of_colours_by_hand():
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [10, 20, 30]])
    found = luminance(colours[:, :, None, None].to(torch.uint8)).flatten()
    by_hand = (65.481 * 10 + 128.553 * 20 + 24.966 * 30) / 255 + 16
    assert found.tolist() == pytest.approx([81.481, 144.553, 40.966, 235, 16, by_hand])
    same = torch.tensor([0.0, 77.0, 255.0]).reshape(3, 1, 1, 1)
    torch.testing.assert_close(grey(same.expand(3, 3, 2, 2)), same.double().expand(3, 1, 2, 2))


def test_a_border_is_left_out_at_each_side():
    image = torch.arange(30.0).reshape(1, 5, 6)
    assert torch.equal(without_border(image, 2), image[:, 2:3, 2:4])
    assert torch.equal(without_border(image, 0), image)
