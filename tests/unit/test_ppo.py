"""PPO's advantages and losses: by hand, against slow versions, and against Stable-Baselines3."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from awnlib.reinforcement.ppo import advantages_of, policy_distance, ppo_loss, ratio_of
from awnlib.seeding import rng
from tests.reference import float64

OPTIONS = {"clip": 0.2, "value_coef": 0.5, "entropy_coef": 0.01, "clip_value": True}


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def played(steps=7, games=3, seed=0):
    generator = rng(seed, "played")
    rewards, values = (torch.randn(steps, games, generator=generator) for _ in range(2))
    return rewards, values, torch.randn(games, generator=generator), torch.rand(steps, games, generator=generator) < 0.3


def answered(size=50, actions=4, seed=0):
    """Outputs, and targets of a policy that is not far from theirs."""
    generator = rng(seed, "answered")
    outputs = torch.randn(size, actions + 1, generator=generator)
    old = outputs + 0.4 * torch.randn(outputs.shape, generator=generator)
    taken = torch.randint(actions, (size, 1), generator=generator)
    log_probs = old[:, :-1].log_softmax(dim=1).gather(1, taken)
    advantages, returns = (torch.randn(size, 1, generator=generator) for _ in range(2))
    return outputs, torch.cat([taken, log_probs, advantages, returns, old[:, -1:]], dim=1)


# --- advantages ------------------------------------------------------------------------------------------------------


def test_advantages_by_hand():
    """Discount .5, lambda .5, one game: it ends with the second of three steps."""
    rewards, values = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    found = advantages_of(
        rewards, values, torch.tensor([8.0]), torch.tensor([[False], [True], [False]]), discount=0.5, gae_lambda=0.5
    )
    last = 4 + 0.5 * 8 - 2  # goes on: 6
    second = 2 - 1  # ended: neither the next value nor the next advantage
    first = 1 + 0.5 * 1 - 0.5 + 0.25 * second
    assert found.flatten().tolist() == [first, second, last] == [1.25, 1.0, 6.0]


def test_with_lambda_1_they_are_discounted_returns_without_values():
    """Slowly: every reward up to the end of the game, or the value of what is seen last."""
    rewards, values, next_values, ended = played()
    found = advantages_of(rewards, values, next_values, ended, discount=0.9, gae_lambda=1.0)
    for game in range(3):
        for start in range(7):
            expected, factor = -values[start, game], 1.0
            for step in range(start, 7):
                expected, factor = expected + factor * rewards[step, game], 0.9 * factor
                if ended[step, game]:
                    break
            else:
                expected = expected + factor * next_values[game]
            torch.testing.assert_close(found[start, game], expected)


def test_a_game_that_was_cut_off_counts_what_it_was_worth_then():
    """A step before the end of the roll-out and at a cut: the same, if the cut's reward has the value in it."""
    rewards, values, next_values, _ = played(steps=3)
    goes_on = torch.zeros(3, 3, dtype=torch.bool)
    whole = advantages_of(rewards, values, next_values, goes_on, discount=0.9, gae_lambda=0.8)
    cut = goes_on.clone()
    cut[-1] = True
    rewards[-1] += 0.9 * next_values
    torch.testing.assert_close(
        advantages_of(rewards, values, torch.full((3,), 99.0), cut, discount=0.9, gae_lambda=0.8), whole
    )


def test_advantages_are_those_of_stable_baselines():
    buffers = pytest.importorskip("stable_baselines3.common.buffers")
    spaces = pytest.importorskip("gymnasium.spaces")
    rewards, values, next_values, ended = played(steps=20, games=5)
    buffer = buffers.RolloutBuffer(
        20, spaces.Box(0, 1, (1,)), spaces.Discrete(2), gae_lambda=0.95, gamma=0.99, n_envs=5
    )
    starts = torch.cat([torch.zeros(1, 5, dtype=torch.bool), ended[:-1]])
    nothing = np.zeros((5, 1), dtype=np.float32)
    for step in range(20):
        log_probs = torch.zeros(5)
        buffer.add(nothing, nothing, rewards[step].numpy(), starts[step].numpy(), values[step], log_probs)
    buffer.compute_returns_and_advantage(next_values, ended[-1].numpy())
    found = advantages_of(rewards, values, next_values, ended, discount=0.99, gae_lambda=0.95)
    np.testing.assert_allclose(found, buffer.advantages, rtol=1e-5, atol=1e-6)  # that one is float32
    np.testing.assert_allclose(found + values, buffer.returns, rtol=1e-5, atol=1e-6)


# --- the loss --------------------------------------------------------------------------------------------------------


def slowly(outputs, targets, *, clip, value_coef, entropy_coef, clip_value):
    losses = []
    for output, (action, log_prob, advantage, returned, expected) in zip(outputs, targets.tolist(), strict=True):
        *logits, value = output.tolist()
        total = sum(math.exp(logit) for logit in logits)
        probs = [math.exp(logit) / total for logit in logits]
        ratio = probs[int(action)] / math.exp(log_prob)
        surrogate = min(ratio * advantage, min(max(ratio, 1 - clip), 1 + clip) * advantage)
        errors = [(value - returned) ** 2]
        if clip_value:
            errors.append((expected + min(max(value - expected, -clip), clip) - returned) ** 2)
        entropy = -sum(prob * math.log(prob) for prob in probs)
        losses.append(-surrogate + value_coef * max(errors) / 2 - entropy_coef * entropy)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("changes", [{}, {"clip": 0.05}, {"clip_value": False}, {"value_coef": 1.0}], ids=str)
def test_the_loss_is_that_of_each_step(changes):
    outputs, targets = answered()
    options = OPTIONS | changes
    assert float(ppo_loss(outputs, targets, **options)) == pytest.approx(slowly(outputs, targets, **options))
    assert (ratio_of(outputs, targets) - 1).abs().gt(options["clip"]).any()  # else nothing was clipped


@pytest.mark.parametrize(
    ("ratio", "advantage", "surrogate", "has_gradient"),
    [(1.1, 2.0, 2.2, True), (1.5, 2.0, 2.4, False), (0.5, -2.0, -1.6, False), (1.5, -2.0, -3.0, True)],
)
def test_the_surrogate_by_hand(ratio, advantage, surrogate, has_gradient):
    """Clip .2: what has gone far enough in the right direction is not pushed on."""
    outputs = torch.tensor([[0.0, 0.0, 0.0]], requires_grad=True)  # both actions have a probability of one half
    targets = torch.tensor([[1.0, math.log(0.5 / ratio), advantage, 0.0, 0.0]])
    loss = ppo_loss(outputs, targets, clip=0.2, value_coef=0.0, entropy_coef=0.0, clip_value=True)
    loss.backward()
    assert loss.item() == pytest.approx(-surrogate)
    assert bool(outputs.grad[:, :-1].any()) == has_gradient


@pytest.mark.parametrize(("value", "error"), [(1.1, 1.8**2), (3.0, 1.8**2), (5.0, 3.0**2), (-1.0, 3.0**2)])
def test_the_error_of_a_value_by_hand(value, error):
    """It was 0 and should be 2; clip .2: whichever is further away, the value or the one that moved by .2."""
    outputs, targets = torch.tensor([[0.0, 0.0, value]]), torch.tensor([[0.0, math.log(0.5), 0.0, 2.0, 0.0]])
    loss = ppo_loss(outputs, targets, clip=0.2, value_coef=1.0, entropy_coef=0.0, clip_value=True)
    assert float(loss) == pytest.approx(error / 2)


def test_the_entropy_of_even_odds_is_the_logarithm_of_their_number():
    loss = ppo_loss(torch.zeros(1, 5), torch.zeros(1, 5), **OPTIONS | {"value_coef": 0.0})
    assert float(loss) == pytest.approx(-0.01 * math.log(4))


def test_an_update_is_that_of_stable_baselines():
    """Its whole `train` on one batch, from the same linear policy: gradients, clipped at a norm, and a step of Adam."""
    sb3 = pytest.importorskip("stable_baselines3")
    gymnasium = pytest.importorskip("gymnasium")
    torch.set_default_dtype(torch.float32)

    class Nothing(gymnasium.Env):
        observation_space, action_space = gymnasium.spaces.Box(-9, 9, (6,)), gymnasium.spaces.Discrete(4)

        def reset(self, **_):
            return self.observation_space.sample(), {}

    options = {"n_steps": 50, "batch_size": 50, "n_epochs": 1, "learning_rate": 0.01, "clip_range": 0.2}
    ours = {"clip": 0.2, "value_coef": 0.5, "entropy_coef": 0.02, "clip_value": False}
    agent = sb3.PPO(
        "MlpPolicy",
        Nothing(),
        **options,
        vf_coef=0.25,  # of the whole squared error
        ent_coef=0.02,
        max_grad_norm=0.3,
        policy_kwargs={"net_arch": [], "ortho_init": False},
        device="cpu",
    )
    agent.set_logger(sb3.common.logger.configure(None, []))
    targets = answered(actions=4)[1].float()
    seen = torch.randn(50, 6, generator=rng(0, "seen"))
    buffer = agent.rollout_buffer
    buffer.observations[:, 0], buffer.actions[:, 0] = seen.numpy(), targets[:, :1].numpy()
    for name, column in (("log_probs", 1), ("advantages", 2), ("returns", 3), ("values", 4)):
        getattr(buffer, name)[:, 0] = targets[:, column].numpy()
    buffer.full = True
    heads = agent.policy.action_net, agent.policy.value_net
    weight, bias = (
        torch.cat([getattr(head, name).detach() for head in heads]).requires_grad_() for name in ("weight", "bias")
    )
    agent.train()
    torch.set_default_dtype(torch.float64)
    adam = torch.optim.Adam([weight, bias], lr=0.01, eps=1e-5)
    advantage = targets[:, 2]
    normed = torch.cat(
        [targets[:, :2], ((advantage - advantage.mean()) / (advantage.std() + 1e-8))[:, None], targets[:, 3:]], dim=1
    )
    ppo_loss(F.linear(seen, weight, bias), normed, **ours).backward()
    # That one clips the gradients of the two heads together as well, whose norm does not depend on how they are held.
    torch.nn.utils.clip_grad_norm_([weight, bias], 0.3)
    adam.step()
    for mine, theirs in ((weight, "weight"), (bias, "bias")):
        expected = torch.cat([getattr(head, theirs) for head in heads])
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)


def test_several_widths_have_a_loss_each():
    (first, targets), (second, _) = answered(), answered(seed=1)
    both = torch.stack([first, second])
    for found, alone in (
        (ppo_loss(both, targets, **OPTIONS), [ppo_loss(one, targets, **OPTIONS) for one in both]),
        (policy_distance(both, first, value_coef=0.5), [policy_distance(one, first, value_coef=0.5) for one in both]),
    ):
        torch.testing.assert_close(found, torch.stack(alone))


# --- distillation ----------------------------------------------------------------------------------------------------


def test_the_distance_from_a_teacher_is_its_entropy_where_both_agree_and_has_no_gradient_there():
    outputs = answered()[0].requires_grad_()
    teacher = outputs.detach().clone().requires_grad_()
    distance = policy_distance(outputs, teacher, value_coef=0.5)
    distance.backward()
    probs = teacher[:, :-1].softmax(dim=1)
    torch.testing.assert_close(distance, -(probs * probs.log()).sum(dim=1).mean())
    assert outputs.grad.abs().max() < 1e-12
    assert teacher.grad is None


def test_the_distance_by_hand():
    """Even odds against one of three to one, values 1 and 3: a quarter of 4 with the default coefficient of .5."""
    outputs, teacher = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[math.log(3.0), 0.0, 3.0]])
    assert float(policy_distance(outputs, teacher, value_coef=0.5)) == pytest.approx(math.log(2) + 1.0)
