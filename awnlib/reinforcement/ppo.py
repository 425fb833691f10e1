r"""Proximal policy optimisation (PPO): advantages, and the loss of a policy and its value.

An agent's *outputs*, `[..., actions + 1]`, are a logit for each action and last the value of what it sees. Its
*targets*, `[..., 5]`, are what happened there (`TARGETS`).
"""

from __future__ import annotations

import torch
from torch import Tensor

TARGETS = ("action", "log_prob", "advantage", "return", "value")
"""The columns of targets: the action that was taken, the logarithm of its probability then, its advantage, the
discounted return that followed, and the value that was expected."""


def advantages_of(
    rewards: Tensor, values: Tensor, next_values: Tensor, ended: Tensor, *, discount: float, gae_lambda: float
) -> Tensor:
    r"""Return the generalised advantage estimates of some steps of some games.

    $$ A_t = \delta_t + \gamma \lambda (1 - e_t) A_{t+1}, \qquad
    \delta_t = r_t + \gamma (1 - e_t) V_{t+1} - V_t $$

    Parameters
    ----------
    rewards, values
        The reward of each step, and the value of what was seen before it, `[steps, games]`.
    next_values
        The value of what was seen after the last step, `[games]`.
    ended
        Whether a game ended with the step, `[steps, games]`. One that was cut off ends as well, and its last reward is
        to include the discounted value of what was seen last.
    discount, gae_lambda
        $\gamma$ and $\lambda$.

    Returns
    -------
    Tensor
        `[steps, games]`; with the values added they are the returns that values learn.

    References
    ----------
    Schulman, Moritz, Levine, Jordan, Abbeel: High-Dimensional Continuous Control Using Generalized Advantage
    Estimation, ICLR 2016, equation 16; Schulman et al.: Proximal Policy Optimization Algorithms, 2017, equation 11.
    """
    goes_on = 1 - ended.to(rewards.dtype)
    following = torch.cat([values[1:], next_values[None]])
    deltas = rewards + discount * goes_on * following - values
    found = torch.empty_like(deltas)
    later = torch.zeros_like(next_values)
    for step in reversed(range(len(deltas))):
        later = deltas[step] + discount * gae_lambda * goes_on[step] * later
        found[step] = later
    return found


def ppo_loss(
    outputs: Tensor, targets: Tensor, *, clip: float, value_coef: float, entropy_coef: float, clip_value: bool
) -> Tensor:
    r"""Return the mean loss of some steps, of one width or of each of several.

    With the ratio $\rho$ of the action's probability to what it was,

    $$ -\min(\rho A, \mathrm{clip}(\rho, 1 \pm \epsilon) A) + \tfrac{c_1}{2} (V - R)^2 - c_2 H $$

    Parameters
    ----------
    outputs, targets
        Of the same steps, `[..., N, actions + 1]` and `[N, 5]`. Another policy may have taken the actions.
    clip
        $\epsilon$.
    value_coef, entropy_coef
        $c_1$ and $c_2$, of the value's squared error (half of it) and of the policy's entropy.
    clip_value
        Take the larger error of the value and of the value that has moved by at most $\epsilon$.

    Returns
    -------
    Tensor
        `[...]`, a scalar for one width.

    References
    ----------
    Schulman et al.: Proximal Policy Optimization Algorithms, 2017, equations 7 and 9; the clipped value is that of
    OpenAI's baselines.
    """
    log_probs, value = outputs[..., :-1].log_softmax(dim=-1), outputs[..., -1]
    _, _, advantage, returned, expected = targets.unbind(1)
    ratio = _ratio(log_probs, targets)
    surrogate = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    error = (value - returned).square()
    if clip_value:
        near = expected + (value - expected).clamp(-clip, clip)
        error = torch.max(error, (near - returned).square())
    entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
    return (value_coef / 2 * error - surrogate - entropy_coef * entropy).mean(dim=-1)


def ratio_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the ratio of the probability of each action that was taken to what it was, `[..., N]`."""
    return _ratio(outputs[..., :-1].log_softmax(dim=-1), targets)


def _ratio(log_probs: Tensor, targets: Tensor) -> Tensor:
    actions = targets[..., 0].long().expand(log_probs.shape[:-1])
    return (log_probs.gather(-1, actions[..., None])[..., 0] - targets[..., 1]).exp()


def policy_distance(outputs: Tensor, teacher: Tensor, *, value_coef: float) -> Tensor:
    """Return how far an agent is from a teacher: the cross-entropy of the policies, and the value's squared error.

    Parameters
    ----------
    outputs, teacher
        Of the same steps, `[..., N, actions + 1]` and `[N, actions + 1]`; no gradient reaches the teacher.
    value_coef
        Of half the squared error, as in `ppo_loss`.

    Returns
    -------
    Tensor
        `[...]`, a scalar for one width.
    """
    teacher = teacher.detach()
    probs = teacher[..., :-1].softmax(dim=-1)
    cross_entropy = -(probs * outputs[..., :-1].log_softmax(dim=-1)).sum(dim=-1)
    error = (outputs[..., -1] - teacher[..., -1]).square()
    return (cross_entropy + value_coef / 2 * error).mean(dim=-1)
