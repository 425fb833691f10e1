"""The settings of reinforcement learning. Defaults: those of the code that US-Nets' experiment seems to build on."""

from __future__ import annotations

from pydantic import Field

from awnlib import settings


class Settings(settings.Settings):
    """Which game, how much of it is played between two steps of the optimiser, and what is learnt from it."""

    environment: str = Field(
        default="MinAtar/Breakout-v1",
        description="a name of gymnasium: MinAtar/<Game>-v1, an Atari game such as BreakoutNoFrameskip-v4, or "
        "module:name, with images of type uint8 or bool and a few actions",
    )
    num_envs: int = Field(default=8, ge=1, description="games that are played side by side")
    num_steps: int = Field(default=128, ge=1, description="steps of each in a roll-out, which the widest network plays")
    num_passes: int = Field(default=4, ge=1, description="passes over a roll-out, in minibatches of `train.batch_size`")
    rollouts: int = Field(
        default=10, ge=1, description="roll-outs of an epoch, at whose end all fixed widths play for the curves"
    )
    discount: float = Field(default=0.99, ge=0, le=1, description="factor of a reward for each step until it comes")
    gae_lambda: float = Field(default=0.95, ge=0, le=1, description="of generalised advantage estimation")
    clip: float = Field(
        default=0.1, gt=0, description="by how much the probability of an action may change in one roll-out"
    )
    clip_value: bool = Field(default=True, description="and the value")
    clip_rewards: bool = Field(default=True, description="learn from the sign of rewards; scores are never clipped")
    value_coef: float = Field(default=0.5, ge=0, description="weight of half the squared error of the value")
    entropy_coef: float = Field(default=0.01, ge=0, description="weight of the policy's entropy")
    max_grad_norm: float | None = Field(
        default=0.5, gt=0, description="to which the gradient of a step is shortened; null: not"
    )
    curve_games: int = Field(default=32, ge=2, description="games of each width for a point of a curve")
    test_games: int = Field(default=128, ge=2, description="games of each width at the end")
    longest_game: int = Field(default=27000, ge=1, description="steps after which a game in a test counts as it is")
