"""Agents that play a game, trained by proximal policy optimisation (US-Nets, section 5.1).

The widest network plays, and all widths learn from its roll-outs: by the same loss, which is the paper's in-place
distillation ("we run the policy predicted by the model at largest width as roll-outs for training other widths"), or,
with the distance "policy", narrower ones learn the widest one's policy and values on them. An epoch is
`task_settings.rollouts` roll-outs; a step is one of the optimiser, for a minibatch of `train.batch_size`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from awnlib.data.batches import EVERYTHING
from awnlib.layers import SlimmableNetwork
from awnlib.reinforcement.environments import Games, to_input
from awnlib.reinforcement.play import play, watch
from awnlib.reinforcement.ppo import policy_distance, ppo_loss, ratio_of
from awnlib.reinforcement.rollout import Arena, Rollout, collect
from awnlib.seeding import rng
from awnlib.tasks._distillation import Distance, Distillation
from awnlib.tasks._metric import Metric
from awnlib.tasks._pictures import COLUMNS, png
from awnlib.tasks._reinforcement_settings import Settings
from awnlib.tasks._supervised import Batch, Supervised
from awnlib.tasks._task import Draw, Shape, StepResult, _as_it_is

if TYPE_CHECKING:
    from awnlib.training.run import RunConfig

METRICS = (
    Metric(
        name="mean_return",
        unit="points",
        higher_is_better=True,
        title="mean episode reward",
        axis_label="mean episode reward (points)",
        summary="auc",
    ),
    Metric(
        name="return_error",
        unit="points",
        higher_is_better=False,
        title="standard error of the mean over games",
        axis_label="standard error of the mean episode reward (points)",
    ),
    Metric(name="games", unit="", higher_is_better=True, title="games", axis_label="games"),
    Metric(
        name="environment_steps",
        unit="steps",
        higher_is_better=True,
        title="steps of the environments",
        axis_label="steps of the environments",
    ),
    Metric(
        name="clipped_pct",
        unit="%",
        higher_is_better=False,
        title="steps whose policy has changed by more than the clip",
        axis_label="clipped steps (%)",
    ),
    Metric(name="loss", unit="", higher_is_better=False, title="loss", axis_label="loss"),
)
NEEDS_DATA = False
JUDGES_IMAGES = True
DISTANCES = ("policy",)
TEST_SET = "games"
PICTURES = 8  # of a game


class Reinforcement(Supervised):
    """Outputs are logits of the actions and a value, targets what happened (`awnlib.reinforcement.ppo`)."""

    metrics = METRICS
    loss_metric = "loss"
    monitored = ("clipped_pct",)
    settings: Settings

    def network_shape(self) -> tuple[Shape, int]:
        """Return the shape of what is seen, and the number of actions and one."""
        games = Games(self.settings.environment, 1)
        return games.shape, games.num_actions + 1

    def begin(
        self, run: RunConfig, model: SlimmableNetwork, *, share: slice = EVERYTHING, compiled: Any = _as_it_is
    ) -> None:
        """Get ready for the first step, as `Task.begin` says."""
        if run.train.num_processes > 1:
            raise ValueError(f"train.num_processes must be 1 for this task, found {run.train.num_processes}")
        self._model = model
        super().begin(run, model, share=share, compiled=compiled)

    def open_training(self) -> int:
        """Begin the games."""
        chosen, batch_size = self.settings, self.run.train.batch_size
        size = chosen.num_envs * chosen.num_steps
        if size % batch_size:
            raise ValueError(
                f"train.batch_size must divide a roll-out, num_envs times num_steps ({size}), found {batch_size}"
            )
        self._in_rollout = chosen.num_passes * size // batch_size  # steps
        self._arena = Arena(chosen.environment, chosen.num_envs, self.run.seed)
        self._rollout: Rollout | None = None
        self._number = 0  # of roll-outs
        return chosen.rollouts * self._in_rollout

    def step(self, model: SlimmableNetwork, draw: Draw) -> StepResult:
        """Add the gradients of a minibatch, shortened together if they are long."""
        result = super().step(model, draw)
        if self.settings.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.settings.max_grad_norm)
        return result

    def training_batches(self, steps: range) -> Iterator[Batch]:
        """Yield minibatches of roll-outs, each of which is played when it is needed."""
        size = self.run.train.batch_size
        for step in steps:
            number, place = divmod(step, self._in_rollout)
            if number >= self._number:
                self._rollout = self._play_on(number)
            assert self._rollout is not None
            seen, targets = self._rollout.seen, self._rollout.targets
            each_pass, start = divmod(place * size, len(seen))
            order = torch.randperm(len(seen), generator=rng(self.run.seed, "minibatches", number, each_pass))
            chosen = order[start : start + size]
            yield self._to_input(seen[chosen]), targets[chosen].to(self.device, non_blocking=True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of PPO."""
        chosen = self.settings
        return ppo_loss(
            outputs.float(),
            targets,
            clip=chosen.clip,
            value_coef=chosen.value_coef,
            entropy_coef=chosen.entropy_coef,
            clip_value=chosen.clip_value,
        )

    def distil(self, outputs: Tensor, teacher: Tensor, distance: Distance | None = None) -> Tensor:
        """Return the distance from the widest network's policy and values."""
        return policy_distance(outputs.float(), teacher.float(), value_coef=self.settings.value_coef)

    def loss_of_width(
        self, outputs: Tensor, targets: Tensor, teacher: Tensor | None, distillation: Distillation | None
    ) -> Tensor:
        """Return the loss of one width; the task's own loss learns from the widest network's roll-outs anyway."""
        return super().loss_of_width(outputs, targets, teacher, _with_distance(distillation))

    def losses_of_widths(self, outputs: Tensor, targets: Tensor, *, distillation: Distillation | None) -> Tensor:
        """Return the losses of several widths, `[n]`, from their outputs `[n, N, ...]`."""
        losses, rule = self.loss(outputs, targets), _with_distance(distillation)
        if rule is None:
            return losses
        distilled = self.distil(outputs[1:], outputs[0].detach(), rule.distance)
        return torch.cat([losses[:1], rule.mixed(distilled, losses[1:])])

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return 100 for a step whose ratio of probabilities is clipped, else 0."""
        ratio = ratio_of(outputs.float(), targets)
        return {"clipped_pct": 100.0 * ((ratio - 1).abs() > self.settings.clip)}

    def end_epoch(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Let all widths play, for the curves."""
        count = self.settings.curve_games
        steps = self._number * self.settings.num_envs * self.settings.num_steps
        rows = self._judge(model, width_mults, count, seed=self.run.seed)
        return [
            row for width_mult, about in rows for row in _rows(width_mult, about | {"environment_steps": float(steps)})
        ]

    def progress(self) -> dict[str, float]:
        """Return the mean return of the last games, and the steps of all environments so far."""
        finished = self._arena.finished
        steps = self._number * self.settings.num_envs * self.settings.num_steps
        return {"played": steps, "return": sum(finished) / len(finished) if finished else math.nan}

    def evaluate(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Let all widths play the same games."""
        about = {"test_set": TEST_SET, "num_images": None}
        rows = self._judge(model, sorted(set(width_mults)), self.settings.test_games, seed=0)
        return [{**row, **about} for width_mult, found in rows for row in _rows(width_mult, found)]

    def evaluate_images(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Show a game at the largest and the smallest width, in pictures at even distances."""
        chosen = self.settings
        rows = []
        for width_mult in sorted({min(width_mults), max(width_mults)}):
            frames = watch(model, chosen.environment, width_mult, longest=chosen.longest_game, seed=0)
            last = len(frames) - 1
            for number in dict.fromkeys(round(last * part / (PICTURES - 1)) for part in range(PICTURES)):
                picture, points = frames[number]
                about = {"width_mult": width_mult, "test_set": TEST_SET, "image": f"step {number}", "baseline": None}
                shown = {"metric": METRICS[0].name, "score": points, **dict.fromkeys(COLUMNS), "picture": png(picture)}
                rows.append(about | shown)
        return rows

    def training_inputs(self, num_images: int, batch_size: int, seed: int) -> list[Tensor]:
        """Return nothing: agents have no norms whose statistics are computed after training."""
        return []

    def state(self) -> dict[str, Tensor]:
        """Return the games, and the roll-out that is being learnt from."""
        state = {f"arena.{name}": tensor for name, tensor in self._arena.state().items()}
        state["number"] = torch.tensor(self._number)
        if self._rollout is not None:
            state |= {"seen": self._rollout.seen, "targets": self._rollout.targets}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on in the games."""
        self._number = int(state["number"])
        if "seen" in state:
            self._rollout = Rollout(state["seen"], state["targets"])
        arena = {name.removeprefix("arena."): value for name, value in state.items() if name.startswith("arena.")}
        self._arena.load_state(arena)

    def _play_on(self, number: int) -> Rollout:
        chosen = self.settings
        self._number = number + 1
        self._model.set_width_mult(1.0)
        draws = torch.rand(chosen.num_steps, chosen.num_envs, generator=rng(self.run.seed, "actions", number))
        with torch.no_grad():
            return collect(
                lambda seen: self._model(self._to_input(seen)).float().cpu(),
                self._arena,
                draws,
                discount=chosen.discount,
                gae_lambda=chosen.gae_lambda,
                clip_rewards=chosen.clip_rewards,
            )

    def _judge(
        self, model: SlimmableNetwork, width_mults: Sequence[float], count: int, *, seed: int
    ) -> list[tuple[float, dict[str, float]]]:
        """Return what is measured of each width."""
        chosen = self.settings
        returns = play(model, chosen.environment, width_mults, count=count, longest=chosen.longest_game, seed=seed)
        errors = returns.std(dim=1) / math.sqrt(count)
        return [
            (width_mult, {"mean_return": float(mean), "return_error": float(error), "games": float(count)})
            for width_mult, mean, error in zip(width_mults, returns.mean(dim=1), errors, strict=True)
        ]

    def _to_input(self, seen: Tensor) -> Tensor:
        return to_input(seen.to(self.device, non_blocking=True), is_binary=self._arena.games.is_binary)


def _with_distance(distillation: Distillation | None) -> Distillation | None:
    """Return how widths learn from the widest one's outputs; None: from its roll-outs alone."""
    return distillation if distillation is not None and distillation.distance is not None else None


def _rows(width_mult: float, found: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"width_mult": width_mult, "metric": name, "score": score} for name, score in found.items()]


build = Reinforcement
