"""Several games of one environment side by side: the only module that knows gymnasium, MinAtar and the Arcade Learning
Environment (ALE), which come with `awnlib[rl]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

MINATAR = "MinAtar/"
ALE = "ale_py."  # where what makes its environments is
INSTALL = "pip install 'awnlib[rl]'"


@dataclass(frozen=True)
class Played:
    """What came of one action in each game.

    Attributes
    ----------
    rewards
        As the environment gives them, `[games]`.
    ended
        Whether the game is over, or was cut off: it has to be begun again.
    truncated
        Whether it was cut off.
    lost_life
        Whether a life was lost, in environments that have several; the game may go on.
    seen
        What is seen then, of a game that has ended the last of it, `[games, *shape]`.
    """

    rewards: Tensor
    ended: Tensor
    truncated: Tensor
    lost_life: Tensor
    seen: Tensor


class Games:
    """Some games of one environment, each begun from a seed of its own.

    What happens in a game follows from its seed and its actions alone.

    Parameters
    ----------
    environment
        A name of gymnasium, with images as observations and a few actions: `MinAtar/Breakout-v1`, or an Atari game such
        as `BreakoutNoFrameskip-v4`, which gets the standard preprocessing (Mnih et al., 2015; Machado et al., 2018):
        four frames of 84x84 pixels in grey, each the maximum of two, an action for four frames, up to 30 idle ones at
        the start, then `fire`. `module:name` imports a module first.
    count
        How many.

    Attributes
    ----------
    shape, num_actions
        Of what is seen (channels, height, width), and how many actions there are.
    is_binary
        Whether what is seen has ones and zeros, rather than shades up to 255.
    seen
        What is seen now, of games that have ended the last of them, `[games, *shape]` of type uint8.

    Raises
    ------
    ValueError
        If a package is missing, or there is no such environment, or it is of another kind.
    """

    def __init__(self, environment: str, count: int) -> None:
        gymnasium = _gymnasium(environment)
        try:
            spec = gymnasium.spec(environment.rpartition(":")[2])
        except gymnasium.error.Error as error:
            raise ValueError(f"no environment '{environment}': {error}") from None
        is_atari = str(spec.entry_point).startswith(ALE)
        self._games: _Atari | _OneByOne = _Atari(spec, count) if is_atari else _OneByOne(gymnasium, spec, count)
        self.count = count
        self.shape, self.num_actions, self.is_binary = _kind(gymnasium, environment, self._games)
        self.seen = torch.zeros(count, *self.shape, dtype=torch.uint8)

    def begin(self, seeds: Mapping[int, int]) -> None:
        """Begin some of the games, at first all of them, each with its seed."""
        self._games.begin(seeds)
        self._look()

    def step(self, actions: Tensor, playing: Sequence[int] | None = None) -> Played:
        """Take an action in each game, `[games]`; those that have ended then have to be begun again.

        Parameters
        ----------
        actions
            Numbers from 0, of type int64.
        playing
            The games that count, by default all; the others stand still, or go on if that is faster.
        """
        lives = self._games.lives.copy()
        rewards, terminated, truncated = self._games.step(
            actions.numpy(), range(self.count) if playing is None else playing
        )
        self._look()
        return Played(
            rewards=torch.from_numpy(rewards.astype(np.float32)),
            ended=torch.from_numpy(terminated | truncated),
            truncated=torch.from_numpy(truncated & ~terminated),
            lost_life=torch.from_numpy(self._games.lives < lives),
            seen=self.seen,
        )

    def _look(self) -> None:
        seen = torch.from_numpy(self._games.seen)
        seen = seen if self._games.channels_first else seen.movedim(-1, 1)
        self.seen = seen.to(torch.uint8, memory_format=torch.contiguous_format, copy=True)


Steps = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""Rewards, and whether games are over or were cut off."""


class _OneByOne:
    """Games of gymnasium that are played one after the other; what is seen of one that has ended is the last of it."""

    channels_first = False

    def __init__(self, gymnasium: Any, spec: Any, count: int) -> None:
        unchecked = replace(spec, order_enforce=False, disable_env_checker=True)  # what checks each step costs time
        self._games = [gymnasium.make(unchecked) for _ in range(count)]
        self.looks, self.actions = self._games[0].observation_space, self._games[0].action_space
        self.seen = np.zeros((count, *(self.looks.shape or ())), dtype=self.looks.dtype)
        self.lives = np.zeros(count, dtype=np.int64)

    def begin(self, seeds: Mapping[int, int]) -> None:
        for index, seed in seeds.items():
            self.seen[index], about = self._games[index].reset(seed=seed)
            self.lives[index] = about.get("lives", 0)

    def step(self, actions: np.ndarray[Any, Any], playing: Sequence[int]) -> Steps:
        count = len(self._games)
        rewards, terminated, truncated = np.zeros(count), np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        for index in playing:
            found = self._games[index].step(int(actions[index]))
            self.seen[index], rewards[index], terminated[index], truncated[index], about = found
            self.lives[index] = about.get("lives", 0)
        return rewards, terminated, truncated


class _Atari:
    """Games of ALE, with the standard preprocessing.

    ALE begins another game by itself where one has ended, which is not used. Its own `episodic_life` begins a new one
    where a life is lost, and scores need all lives and unclipped rewards.
    """

    channels_first = True

    def __init__(self, spec: Any, count: int) -> None:
        from ale_py.vector_env import AtariVectorEnv

        self._games: Any = AtariVectorEnv(
            spec.kwargs["game"],
            count,
            num_threads=1,
            repeat_action_probability=spec.kwargs["repeat_action_probability"],
            autoreset_mode="SameStep",
            reward_clipping=False,
        )
        self.looks, self.actions = self._games.single_observation_space, self._games.single_action_space
        self.lives = np.zeros(count, dtype=np.int64)

    def begin(self, seeds: Mapping[int, int]) -> None:
        which = np.isin(np.arange(len(self.lives)), list(seeds))
        chosen = np.array([seeds[index] for index in sorted(seeds)])
        self.seen, about = self._games.reset(seed=chosen, options={} if which.all() else {"reset_mask": which})
        self.lives = about["lives"]

    def step(self, actions: np.ndarray[Any, Any], playing: Sequence[int]) -> Steps:
        self.seen, rewards, terminated, truncated, about = self._games.step(actions)
        self.lives = about["lives"]
        for index in np.flatnonzero(terminated | truncated):
            self.seen[index] = about["final_obs"][index]
        return rewards, terminated, truncated


def to_input(seen: Tensor, *, is_binary: bool) -> Tensor:
    """Return what is seen as a network reads it, from 0 to 1 in float32."""
    return seen.float() if is_binary else seen.float() / 255


def _gymnasium(environment: str) -> ModuleType:
    """Return gymnasium, which knows the environments of the packages that are there."""
    try:
        import gymnasium

        if environment.startswith(MINATAR):
            from minatar.gym import register_envs

            if f"{MINATAR}Breakout-v1" not in gymnasium.registry:
                register_envs()
        elif environment.startswith("ALE/") or "NoFrameskip" in environment:
            import ale_py

            gymnasium.register_envs(ale_py)
        elif ":" in environment:
            import_module(environment.partition(":")[0])
    except ImportError as error:
        raise ValueError(f"environment '{environment}' needs the module {error.name} ({INSTALL})") from None
    return gymnasium


def _kind(gymnasium: Any, environment: str, games: _Atari | _OneByOne) -> tuple[tuple[int, int, int], int, bool]:
    """Return the shape of what is seen, the number of actions, and whether ones and zeros are seen."""
    seen, actions, spaces = games.looks, games.actions, gymnasium.spaces
    if not (isinstance(seen, spaces.Box) and len(seen.shape) == 3 and seen.dtype in (np.uint8, np.bool_)):
        raise ValueError(f"environment '{environment}' must show images of type uint8 or bool, found {seen}")
    if not isinstance(actions, spaces.Discrete):
        raise ValueError(f"environment '{environment}' must have numbered actions, found {actions}")
    one, two, three = seen.shape
    shape = (one, two, three) if games.channels_first else (three, one, two)
    return shape, int(actions.n), seen.dtype == np.bool_
