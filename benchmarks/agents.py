"""Training agents: as many steps of MinAtar's Breakout with Stable-Baselines3, and with one network for all widths."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.config import parse_study
from awnlib.training.engine import train
from awnlib.training.run import RunConfig
from benchmarks.measure import Benchmark, Case, Ratio, at_least, at_most
from benchmarks.workload import Options

ENVIRONMENT = "MinAtar/Breakout-v1"
GAMES, STEPS, PASSES, MINIBATCH, ROLLOUTS = 64, 32, 4, 512, 8
SMOKE = (2, 4, 1, 8, 1)
PEER, ALONE, FOUR = "Stable-Baselines3", "individual network", "four individual networks"
US_NET, POLICY, AWN, AS_WIDE = "US-Net", "US-Net (policy)", "any-width network", "individual network, as wide"
WIDE = {"base_width_mult": 2**0.5}  # an any-width network has as many channels
METHODS: dict[str, dict[str, Any]] = {
    "us_net": {"norm": "shared", "recalibration": []},
    "us_net_policy": {"base": "us_net", "distance": "policy"},
    "i_net_wide": {"base": "i_net", **WIDE},
}


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of the same trainings from their start: roll-outs, passes, optimiser."""
    missing = [name for name in ("gymnasium", "minatar", "stable_baselines3") if find_spec(name) is None]
    if missing:
        return [Benchmark("agents", skipped=f"no {', '.join(missing)} (pip install 'awnlib[rl,dev]')")]
    individual = _runs("i_net", options)
    trained = {
        ALONE: individual[:1],
        FOUR: individual,
        US_NET: _runs("us_net", options),
        POLICY: _runs("us_net_policy", options),
        AWN: _runs("awn", options),
        AS_WIDE: _runs("i_net_wide", options)[:1],
    }
    cases: dict[str, Case] = {PEER: _peer(options)}
    cases |= {name: partial(_train, several, options) for name, several in trained.items()}
    ratios = [
        Ratio(PEER, ALONE, at_least(1.0)),
        Ratio(US_NET, FOUR, at_most(1.0)),
        Ratio(POLICY, FOUR, at_most(1.0)),
        Ratio(AWN, AS_WIDE, at_most(1.2)),
    ]
    return [Benchmark("agents", cases, ratios, max_rounds=5)]


def _train(several: list[RunConfig], options: Options) -> None:
    """Train networks one after the other, without their logs."""
    with contextlib.redirect_stderr(io.StringIO()):
        for run in several:
            train(run, device=options.device)


def _runs(method: str, options: Options) -> list[RunConfig]:
    """Return the trainings of a method; the games for the curves end after one step."""
    games, steps, passes, minibatch, rollouts = SMOKE if options.smoke else (GAMES, STEPS, PASSES, MINIBATCH, ROLLOUTS)
    play = {"num_envs": games, "num_steps": steps, "num_passes": passes, "rollouts": rollouts}
    study: dict[str, Any] = {
        "study": "agents",
        "seeds": [0],
        "task": "reinforcement",
        "task_settings": {"environment": ENVIRONMENT, **play, "clip": 0.2, "curve_games": 2, "longest_game": 1},
        "methods": METHODS,
        "train": {"num_epochs": 1, "batch_size": minibatch, "optimizer": "adam", "epsilon": 1e-5, "lr": 1e-3},
        "exhibits": {
            "us_nets.figure5": {"panels": [{"model": "nature_cnn", "dataset": "breakout"}], "methods": [method]}
        },
    }
    return runs(parse_study(study))


def _peer(options: Options) -> Case:
    """Return the same training, network and numbers with Stable-Baselines3."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    games, steps, passes, minibatch, rollouts = SMOKE if options.smoke else (GAMES, STEPS, PASSES, MINIBATCH, ROLLOUTS)

    class Extractor(BaseFeaturesExtractor):
        def __init__(self, observation_space: Any) -> None:
            super().__init__(observation_space, 128)
            self.conv, self.linear = nn.Conv2d(4, 16, 3), nn.Linear(16 * 8 * 8, 128)

        def forward(self, seen: Tensor) -> Tensor:
            x = torch.relu(self.conv(seen.movedim(-1, 1)))
            return torch.relu(self.linear(x.flatten(1)))

    def learn() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own, about the type of what is seen
            agent = stable_baselines3.PPO(
                "MlpPolicy",
                make_vec_env(ENVIRONMENT, n_envs=games, seed=0),
                n_steps=steps,
                batch_size=minibatch,
                n_epochs=passes,
                learning_rate=1e-3,
                ent_coef=0.01,
                policy_kwargs={"features_extractor_class": Extractor, "net_arch": []},
                device=options.device,
            )
            agent.learn(games * steps * rollouts)

    _register()
    return learn


def _register() -> None:
    from awnlib.reinforcement.environments import Games

    Games(ENVIRONMENT, 1)
