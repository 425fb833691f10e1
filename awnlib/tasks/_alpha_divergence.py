"""The distance between two classifiers that AlphaNet distils with, in place of the cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

ALPHAS, CLIP = (-1.0, 1.0), 5.0  # those of the paper's experiments


def alpha_divergence(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    r"""Return the larger of two alpha-divergences of a teacher's output $p$ from a narrower network's $q$.

    $$ D_\alpha(p \| q) = \frac{1}{\alpha(\alpha - 1)} \sum_c q_c \left[ (p_c / q_c)^\alpha - 1 \right], \qquad
    \nabla D_\alpha = -\frac{1}{\alpha} \sum_c q_c (p_c / q_c)^\alpha \, \nabla \log q_c $$

    The one of $\alpha = -1$ grows where $q$ has classes that $p$ has not (its uncertainty is overestimated), its limit
    at $\alpha = 1$, $\sum p \log(p / q)$ with the gradient of the cross-entropy, where $q$ lacks classes of $p$. Each
    image counts with the larger one. $(p / q)^{-1}$ is clipped at 5, in the value and in the gradient, so that rare
    classes do not dominate the step. The paper also clips gradients at a norm of 1, which is not done here.

    Parameters
    ----------
    logits, teacher_logits
        `[..., N, classes]`, of which the teacher's may be broadcast; no gradient reaches it.

    Returns
    -------
    Tensor
        The mean over the images in nats, `[...]`.

    References
    ----------
    Wang, Gong, Li, Liu, Chandra: AlphaNet: Improved Training of Supernets with Alpha-Divergence, ICML 2021,
    sections 3 and 4 and algorithm 1.
    """
    log_q, log_p = logits.log_softmax(dim=-1), teacher_logits.detach().log_softmax(dim=-1)
    low, high = (_divergence(log_q, log_p, alpha) for alpha in ALPHAS)
    value, surrogate = (torch.where(low[0] > high[0], *pair) for pair in zip(low, high, strict=True))
    return (value + surrogate - surrogate.detach()).mean(dim=-1)


def _divergence(log_q: Tensor, log_p: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return a divergence of each image, without gradient, and a term that has its gradient."""
    q, log_ratio = log_q.detach().exp(), log_p - log_q.detach()
    if alpha == 1:
        value, factor = (log_p.exp() * log_ratio).sum(dim=-1), log_p.exp()
    else:
        powers = (alpha * log_ratio).exp().clamp(max=CLIP)
        value, factor = (q * (powers - 1)).sum(dim=-1) / (alpha * (alpha - 1)), q * powers / alpha
    return value, -(factor * log_q).sum(dim=-1)
