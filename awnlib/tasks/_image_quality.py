"""How near images come to the ones they should be: PSNR and SSIM as super-resolution measures them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PEAK = 255.0
LUMINANCE = (65.481, 128.553, 24.966)  # of R, G and B in [0, 1]: ITU-R BT.601 with its head and foot room
WINDOW, SIGMA = 11, 1.5
STABLE = ((0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2)  # what keeps both factors of SSIM from dividing by zero


def luminance(pixels: Tensor) -> Tensor:
    """Return the luma, 16 to 235, of RGB pixels from 0 to 255, `[N, 3, H, W]` to `[N, 1, H, W]`; not rounded."""
    return _weighted(pixels, PEAK) + 16.0


def grey(pixels: Tensor) -> Tensor:
    """Return the same, 0 to 255: of equal colours each of them."""
    return _weighted(pixels, sum(LUMINANCE))


def psnr_db(pixels: Tensor, targets: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image in dB, `[N]`, from pixels 0 to 255, `[N, C, H, W]` each."""
    error = (pixels.double() - targets.double()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(PEAK**2 / error)


def ssim(pixels: Tensor, targets: Tensor) -> Tensor:
    r"""Return the structural similarity of each image, `[N]`: its mean over colours and places.

    $$ \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)} $$

    in Gaussian windows of 11 pixels that lie inside the image.

    Parameters
    ----------
    pixels, targets
        From 0 to 255, `[N, C, H, W]`, of at least 11 x 11 pixels.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment: From Error Visibility to Structural Similarity, 2004,
    equation 13 and section III.C.
    """
    x, y = (images.double().flatten(0, 1)[:, None] for images in (pixels, targets))
    mean_x, mean_y, square_x, square_y, product = _smooth(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    variances = square_x - mean_x**2 + square_y - mean_y**2
    first, second = STABLE
    similarity = (2 * mean_x * mean_y + first) * (2 * (product - mean_x * mean_y) + second)
    similarity = similarity / ((mean_x**2 + mean_y**2 + first) * (variances + second))
    return similarity.reshape(len(pixels), -1).mean(dim=1)


def without_border(images: Tensor, border: int) -> Tensor:
    """Return images, `[..., H, W]`, without so many pixels at each side."""
    return images[..., border : images.shape[-2] - border, border : images.shape[-1] - border]


def _weighted(pixels: Tensor, total: float) -> Tensor:
    weights = torch.tensor(LUMINANCE, dtype=torch.float64, device=pixels.device)[:, None, None] / total
    return (pixels.double() * weights).sum(dim=1, keepdim=True)


def _smooth(images: Tensor) -> Tensor:
    """Return the means in Gaussian windows, `[M, 1, H - 10, W - 10]`."""
    distances = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    window = torch.exp(-(distances**2) / (2 * SIGMA**2))
    window = window / window.sum()
    return F.conv2d(F.conv2d(images, window[None, None, :, None]), window[None, None, None, :])
