"""Roll-outs: what an agent saw and did in games that go on one after the other, and what it is to learn from them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from awnlib.reinforcement.environments import Games, Played
from awnlib.reinforcement.ppo import advantages_of
from awnlib.seeding import rng

LAST_GAMES = 100
SEEDS = 2**31 - 1  # the most that every environment takes
Answer = Callable[[Tensor], Tensor]
"""From what is seen, `[N, *shape]`, the agent's outputs, `[N, actions + 1]`."""


class Arena:
    """Games that go on: where one ends the next one begins, from a seed that follows from the run's.

    Its state is the number of each game and the actions in it, which are played again to go on from there.

    Parameters
    ----------
    environment, count
        As of `Games`.
    seed
        Of the run.

    Attributes
    ----------
    games
        Those that are played.
    finished
        The returns of the last hundred games that have ended since this object was made.
    """

    def __init__(self, environment: str, count: int, seed: int) -> None:
        self.games, self._seeds = Games(environment, count), game_seeds(seed, "games", count=count)
        self._numbers, self._ages = ([0] * count for _ in range(2))
        self._actions: list[Tensor] = []  # since the longest of the running games began
        self._returns = torch.zeros(count)
        self.finished: deque[float] = deque(maxlen=LAST_GAMES)
        self._begin(range(count))

    def step(self, actions: Tensor) -> Played:
        """Take an action in each game, `[games]`, and begin the next one where it has ended."""
        played = self.games.step(actions)
        self._actions.append(actions.to(torch.uint8))
        self._ages = [age + 1 for age in self._ages]
        self._returns += played.rewards
        ended = played.ended.nonzero()[:, 0].tolist()
        for index in ended:
            self.finished.append(float(self._returns[index]))
            self._numbers[index], self._ages[index], self._returns[index] = self._numbers[index] + 1, 0, 0.0
        if ended:
            self._begin(ended)
            del self._actions[: -max(self._ages) or len(self._actions)]
        return played

    def state(self) -> dict[str, Tensor]:
        """Return what `load_state` needs."""
        nothing = torch.zeros(0, self.games.count, dtype=torch.uint8)
        actions = torch.stack(self._actions) if self._actions else nothing
        about = {"numbers": self._numbers, "ages": self._ages}
        return {name: torch.tensor(values) for name, values in about.items()} | {
            "actions": actions,
            "seen": self.games.seen,
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Play the games of a state again up to where they were; if that ends elsewhere, say so and begin new ones."""
        self._numbers, self._ages = state["numbers"].tolist(), state["ages"].tolist()
        self._actions = list(state["actions"])
        self._begin(range(self.games.count))
        self._play_again()
        if not torch.equal(self.games.seen, state["seen"]):
            print("the games do not repeat themselves: new ones begin", file=sys.stderr, flush=True)
            self._numbers, self._ages = [number + 1 for number in self._numbers], [0] * self.games.count
            self._actions.clear()
            self._begin_at(0)

    def _play_again(self) -> None:
        """Take the actions again, the longest game's from the first one on; a game begins where its actions do."""
        for left, actions in zip(range(len(self._actions), 0, -1), self._actions, strict=True):
            self._begin_at(left)
            begun = [index for index, age in enumerate(self._ages) if age >= left]
            self._returns[begun] += self.games.step(actions.long(), begun).rewards[begun]
        self._begin_at(0)

    def _begin_at(self, age: int) -> None:
        """Begin the games of this age."""
        places = [index for index, found in enumerate(self._ages) if found == age]
        if places:
            self._begin(places)
            self._returns[places] = 0.0

    def _begin(self, places: range | list[int]) -> None:
        self.games.begin({index: (self._seeds[index] + self._numbers[index]) % SEEDS for index in places})


def game_seeds(seed: int, *purpose: str | int, count: int) -> list[int]:
    """Return the seeds of some games; those that follow in their places have the next numbers."""
    found: list[int] = torch.randint(SEEDS, (count,), generator=rng(seed, *purpose)).tolist()
    return found


def choose(outputs: Tensor, draws: Tensor) -> Tensor:
    """Return an action for each row of outputs, `[N, actions + 1]`, drawn by numbers between 0 and 1, `[N]`.

    The same numbers give policies that are alike the same actions nearly always.
    """
    below = outputs[:, :-1].softmax(dim=1).cumsum(dim=1)
    return (below[:, :-1] <= draws[:, None]).sum(dim=1)


@dataclass(frozen=True)
class Rollout:
    """What some steps of some games teach.

    Attributes
    ----------
    seen
        What was seen before each step, `[steps * games, *shape]` of type uint8.
    targets
        `[steps * games, 5]`, see `awnlib.reinforcement.ppo`. Their advantages have a mean of 0 and a deviation of 1.
    """

    seen: Tensor
    targets: Tensor


def collect(
    answer: Answer, arena: Arena, draws: Tensor, *, discount: float, gae_lambda: float, clip_rewards: bool
) -> Rollout:
    """Let an agent play on.

    Parameters
    ----------
    answer
        The agent.
    arena
        The games.
    draws
        Numbers between 0 and 1 that choose the actions, `[steps, games]`.
    discount, gae_lambda
        As of `advantages_of`.
    clip_rewards
        Learn from the sign of each reward. A lost life ends a game for the learner in any case.
    """
    seen, outputs, actions, rewards, ended = [], [], [], [], []
    for draw in draws:
        seen.append(arena.games.seen)
        outputs.append(answer(seen[-1]))
        actions.append(choose(outputs[-1], draw))
        played = arena.step(actions[-1])
        rewards.append(_rewards(played, answer, discount, clip=clip_rewards))
        ended.append(played.ended | played.lost_life)
    answers, taken = torch.stack(outputs), torch.stack(actions)
    values, next_values = answers[..., -1], answer(arena.games.seen)[:, -1]
    log_probs = answers[..., :-1].log_softmax(dim=2).gather(2, taken[..., None])[..., 0]
    advantages = advantages_of(
        torch.stack(rewards), values, next_values, torch.stack(ended), discount=discount, gae_lambda=gae_lambda
    )
    normed = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    targets = torch.stack([taken, log_probs, normed, advantages + values, values], dim=2)
    return Rollout(torch.cat(seen), targets.flatten(0, 1))


def _rewards(played: Played, answer: Answer, discount: float, *, clip: bool) -> Tensor:
    """Return the rewards to learn from; a game that was cut off is worth what is seen last."""
    rewards, cut = played.rewards.sign() if clip else played.rewards.clone(), played.truncated
    if cut.any():
        rewards[cut] += discount * answer(played.seen[cut])[:, -1]
    return rewards
