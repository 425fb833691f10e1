"""A game whose best play is known: one of three lamps is lit, and the action of its number is worth a point.

A game has five turns and is then cut off. In `Wires-v0` it has two lives, and the first wrong action costs one, the
second ends it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

TURNS = 5


class Lamps(gymnasium.Env[np.ndarray, int]):
    observation_space = gymnasium.spaces.Box(0, 1, (4, 4, 3), np.bool_)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, lives: int = 0) -> None:
        self.all_lives = lives

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.turn, self.lives = 0, self.all_lives
        return self._look(), {"lives": self.lives}

    def step(self, action: int) -> Any:
        right = action == self.lit
        self.turn += 1
        self.lives -= bool(self.all_lives and not right)
        over = bool(self.all_lives) and self.lives == 0
        return self._look(), float(right), over, self.turn == TURNS, {"lives": self.lives}

    def _look(self) -> np.ndarray:
        self.lit = int(self.np_random.integers(3))
        seen = np.zeros((4, 4, 3), dtype=np.bool_)
        seen[:, :, self.lit] = True
        return seen


gymnasium.register("Lamps-v0", Lamps)
gymnasium.register("Wires-v0", Lamps, kwargs={"lives": 2})
