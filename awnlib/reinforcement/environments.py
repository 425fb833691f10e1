"""Several games of one environment side by side: the only module that knows gymnasium, MinAtar and the Arcade Learning
Environment (ALE), which come with `awnlib[rl]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        What is seen now, `[games, *shape]` of type uint8.

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
        self._is_atari = str(spec.entry_point).startswith(ALE)
        self._games: Any = _atari(spec, count) if self._is_atari else _others(gymnasium, spec, count)
        self.count = count
        self.shape, self.num_actions, self.is_binary = _kind(gymnasium, environment, self._games, self._is_atari)
        self.seen = torch.zeros(count, *self.shape, dtype=torch.uint8)
        self._lives = np.zeros(count, dtype=np.int64)

    def begin(self, seeds: Mapping[int, int]) -> None:
        """Begin some of the games, at first all of them, each with its seed."""
        which = np.isin(np.arange(self.count), list(seeds))
        chosen: Any = np.array([seeds[index] for index in sorted(seeds)])
        if not self._is_atari:
            chosen = [seeds.get(index) for index in range(self.count)]
        options = {} if which.all() else {"reset_mask": which}
        seen, about = self._games.reset(seed=chosen, options=options)
        self._look(seen, about)

    def step(self, actions: Tensor) -> Played:
        """Take an action in each game, `[games]`; those that have ended then have to be begun again."""
        seen, rewards, terminated, truncated, about = self._games.step(actions.numpy())
        lives, ended = self._lives, terminated | truncated
        self._look(seen, about)
        last = self.seen
        if ended.any():  # the environment has begun another game, which is not used
            last = self.seen.clone()
            for index in np.flatnonzero(ended):
                last[index] = self._channels_first(torch.from_numpy(np.asarray(about["final_obs"][index])))
        return Played(
            rewards=torch.from_numpy(rewards.astype(np.float32)),
            ended=torch.from_numpy(ended),
            truncated=torch.from_numpy(truncated & ~terminated),
            lost_life=torch.from_numpy(self._lives < lives),
            seen=last,
        )

    def _look(self, seen: Any, about: Mapping[str, Any]) -> None:
        self.seen = self._channels_first(torch.from_numpy(seen))
        self._lives = about.get("lives", self._lives)

    def _channels_first(self, seen: Tensor) -> Tensor:
        seen = seen.to(torch.uint8)
        return seen if self._is_atari else seen.movedim(-1, -3).contiguous()


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


def _atari(spec: Any, count: int) -> Any:
    """Return games of ALE, with the standard preprocessing.

    Its own `episodic_life` begins a new game where a life is lost, and scores need all lives and unclipped rewards.
    """
    from ale_py.vector_env import AtariVectorEnv

    return AtariVectorEnv(
        spec.kwargs["game"],
        count,
        num_threads=1,
        repeat_action_probability=spec.kwargs["repeat_action_probability"],
        autoreset_mode="SameStep",
        reward_clipping=False,
    )


def _others(gymnasium: Any, spec: Any, count: int) -> Any:
    """Return games that are played one after the other.

    With gymnasium's default mode the step after the last one of a game would ignore its action.
    """
    mode = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    return gymnasium.make_vec(spec, num_envs=count, vectorization_mode="sync", vector_kwargs=mode)


def _kind(gymnasium: Any, environment: str, games: Any, channels_first: bool) -> tuple[tuple[int, int, int], int, bool]:
    """Return the shape of what is seen, the number of actions, and whether ones and zeros are seen."""
    seen, actions = games.single_observation_space, games.single_action_space
    spaces = gymnasium.spaces
    if not (isinstance(seen, spaces.Box) and len(seen.shape) == 3 and seen.dtype in (np.uint8, np.bool_)):
        raise ValueError(f"environment '{environment}' must show images of type uint8 or bool, found {seen}")
    if not isinstance(actions, spaces.Discrete):
        raise ValueError(f"environment '{environment}' must have numbered actions, found {actions}")
    one, two, three = seen.shape
    shape = (one, two, three) if channels_first else (three, one, two)
    return shape, int(actions.n), seen.dtype == np.bool_
