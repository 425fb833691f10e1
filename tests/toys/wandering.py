"""A task that makes its own batches: where the network goes decides what it sees next. It has no data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from awnlib.layers import SlimmableNetwork
from awnlib.seeding import rng
from awnlib.tasks import Draw, Metric, StepResult, Task

METRICS = (
    Metric(name="mean_return", unit="", higher_is_better=True, title="return", axis_label="mean return"),
    Metric(name="loss", unit="", higher_is_better=False, title="loss", axis_label="loss"),
)
NEEDS_DATA = False
SHAPE = (1, 8, 8)


class Wandering(Task):
    """Outputs should be the means of the four quarters of a picture that drifts with them."""

    metrics = METRICS
    loss_metric = "loss"
    monitored = ("mean_return",)

    def network_shape(self) -> tuple[tuple[int, int, int], int]:
        """Return the shape of a picture, and one output a quarter."""
        return SHAPE, 4

    def begin(self, run: Any, model: SlimmableNetwork, **_: Any) -> None:
        """Start somewhere."""
        self.epoch_steps = self.settings.steps
        self.generator = rng(run.seed, "wandering")
        self.place = torch.randn(5, *SHAPE, generator=self.generator)

    def step(self, model: SlimmableNetwork, draw: Draw) -> StepResult:
        """Learn at every width where the widest one leads."""
        place, losses, returns = self.place, [], []
        draw.observe(place)
        for width_mult in draw.width_mults:
            model.set_width_mult(width_mult)
            outputs = model(place)
            loss = (outputs - _quarters(place)).square().mean()
            loss.backward()
            losses.append(loss.detach())
            returns.append(-(outputs.detach() - _quarters(place)).abs().sum())
            if width_mult == draw.width_mults[0]:
                noise = torch.randn(place.shape, generator=self.generator)
                self.place = 0.5 * place + noise + outputs.detach().mean(dim=1)[:, None, None, None]
        return StepResult(torch.stack(losses), {"mean_return": torch.stack(returns)}, len(place))

    @torch.no_grad()
    def evaluate(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Play the same pictures at every width."""
        rows = []
        for width_mult in width_mults:
            model.set_width_mult(width_mult)
            place = torch.randn(20, *SHAPE, generator=rng(0, "games"))
            score = float(-(model(place) - _quarters(place)).abs().mean())
            about = {"width_mult": width_mult, "test_set": "games", "num_images": None}
            rows.append({**about, "metric": "mean_return", "score": score})
        return rows

    def state(self) -> dict[str, Tensor]:
        """Return where it is, and what it will draw."""
        return {"place": self.place, "generator": self.generator.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        self.place = state["place"]
        self.generator.set_state(state["generator"])


def _quarters(place: Tensor) -> Tensor:
    return place.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(1, 4, 5)).flatten(1)


build = Wandering
